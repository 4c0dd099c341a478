use leasehold_scheduler::{jobs, singleton_job};

#[singleton_job("@daily", crate = leasehold_scheduler)]
#[singleton_job("@hourly")]
async fn two_without_names() {}

#[singleton_job("@daily", name = "report", crate = leasehold_scheduler)]
#[singleton_job("@hourly", name = "report")]
async fn one_name() {}

#[singleton_job("@daily", name = "report", crate = leasehold_scheduler)]
#[singleton_job("@hourly", aliases = ["old", "report"])]
async fn a_name_and_a_former_one() {}

#[singleton_job("61 * * * *", crate = leasehold_scheduler)]
#[leasehold_scheduler::singleton_job("* 61 * * *", name = "")]
#[cfg_attr(all(), singleton_job("@daily", jitter = "x"))]
#[singleton_job]
async fn each_is_checked() {}

#[singleton_job("@daily", crate = leasehold_scheduler)]
#[singleton_job("@hourly", name = "hourly")]
fn not_async() {}

fn main() {
    // No error here.
    let _ = jobs![two_without_names, one_name, a_name_and_a_former_one, each_is_checked, not_async];
}
