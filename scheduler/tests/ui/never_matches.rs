use leasehold_scheduler::singleton_job;

#[singleton_job("0 0 30 2 *")]
async fn tick() {}

fn main() {}
