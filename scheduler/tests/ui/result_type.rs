use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn tick() -> u32 {
    7
}

fn main() {}
