use leasehold_scheduler::singleton_job;

#[singleton_job("@daily")]
struct Tick;

fn main() {}
