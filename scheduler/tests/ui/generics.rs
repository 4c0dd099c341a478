use leasehold_scheduler::singleton_job;

#[singleton_job("@daily")]
async fn tick<T>(_: T) {}

#[singleton_job("@daily")]
async fn tock(_: impl Send) {}

fn main() {}
