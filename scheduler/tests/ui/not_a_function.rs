use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", crate = leasehold_scheduler)]
struct Tick;

fn main() {}
