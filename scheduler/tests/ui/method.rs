use leasehold_scheduler::singleton_job;

struct Shop;

impl Shop {
    #[singleton_job("@daily")]
    async fn tick(&self) {}
}

fn main() {}
