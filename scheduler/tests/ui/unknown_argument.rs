use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", zone = "Europe/Berlin")]
async fn tick() {}

#[singleton_job("@daily", "@hourly")]
async fn tock() {}

fn main() {}
