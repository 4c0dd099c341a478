use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", zone = "Europe/Berlin", crate = leasehold_scheduler)]
async fn of_another_scheduler() {}

#[singleton_job("@daily", missfire = "skip", time_out = "5s", crate = leasehold_scheduler)]
async fn slips() {}

#[singleton_job("@daily", color = "red", crate = leasehold_scheduler)]
async fn tick() {}

#[singleton_job("@daily", "@hourly", crate = leasehold_scheduler)]
async fn tock() {}

fn main() {}
