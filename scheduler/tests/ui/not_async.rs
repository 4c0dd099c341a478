use leasehold_scheduler::singleton_job;

#[singleton_job("@daily")]
fn tick() {}

fn main() {}
