use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", name = "", crate = leasehold_scheduler)]
async fn empty() {}

#[singleton_job("@daily", name = "two\nlines", crate = leasehold_scheduler)]
async fn control_character() {}

#[singleton_job("@daily", name = "one", name = "two", crate = leasehold_scheduler)]
async fn twice() {}

#[singleton_job("@daily", aliases = ["fine", "", "two\nlines"], crate = leasehold_scheduler)]
async fn former_ones() {}

fn main() {}
