use leasehold_scheduler::singleton_job;

#[singleton_job("******")]
async fn tick() {}

fn main() {}
