use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn tick(_limit: u32) {}

fn main() {}
