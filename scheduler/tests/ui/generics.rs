use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn tick<T>(_: T) {}

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn tock(_: impl Send) {}

fn main() {}
