use leasehold_scheduler::singleton_job;

#[singleton_job("******", crate = leasehold_scheduler)]
async fn tick() {}

fn main() {}
