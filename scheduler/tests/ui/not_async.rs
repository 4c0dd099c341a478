use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", crate = leasehold_scheduler)]
fn tick() {}

fn main() {}
