//! Several futures at once, without a task for each.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the first of them to end answers, in their order if several have; pending if there is none.
pub(crate) async fn first<'a, T>(
    futures: impl Iterator<Item = impl Future<Output = T> + Send + 'a>,
) -> T {
    let mut futures: Vec<Boxed<'a, T>> = futures.map(|future| Box::pin(future) as _).collect();
    poll_fn(|context| {
        for future in &mut futures {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

/// What all of them answer, in their order.
pub(crate) async fn all<'a, T>(
    futures: impl Iterator<Item = impl Future<Output = T> + Send + 'a>,
) -> Vec<T> {
    let mut futures: Vec<(Boxed<'a, T>, Option<T>)> = futures
        .map(|future| (Box::pin(future) as _, None))
        .collect();
    poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(answer) => *output = Some(answer),
                Poll::Pending => is_done = false,
            }
        }
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}
