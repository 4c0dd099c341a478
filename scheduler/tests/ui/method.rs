use leasehold_scheduler::singleton_job;

struct Shop;

impl Shop {
    #[singleton_job("@daily", crate = leasehold_scheduler)]
    async fn tick(&self) {}
}

fn main() {}
