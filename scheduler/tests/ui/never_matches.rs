use leasehold_scheduler::singleton_job;

#[singleton_job("0 0 30 2 *", crate = leasehold_scheduler)]
async fn tick() {}

fn main() {}
