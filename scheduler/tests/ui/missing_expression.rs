use leasehold_scheduler::singleton_job;

const DAILY: &str = "@daily";

#[singleton_job]
async fn nothing() {}

#[singleton_job(name = "report", crate = leasehold_scheduler)]
async fn only_a_name() {}

#[singleton_job(DAILY, crate = leasehold_scheduler)]
async fn not_a_literal() {}

fn main() {}
