use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", zone = "Europe/Berlin", crate = leasehold_scheduler)]
async fn tick() {}

#[singleton_job("@daily", "@hourly", crate = leasehold_scheduler)]
async fn tock() {}

fn main() {}
