//! What the jobs do.

use std::sync::Arc;

use leasehold_core::Env;
use leasehold_scheduler::{BoxError, Job};

use super::history::{How, Id, JobPlan, Words};
use super::recorder::Recorder;
use crate::plan::one_of;

/// In the text of each panic that is meant.
pub(crate) const PLANNED: &str = "a planned panic";

/// A job of a release, as a node runs it.
pub(crate) fn job(
    plan: &JobPlan,
    number: usize,
    words: &Words,
    node: Id,
    env: &Env,
    recorder: &Arc<Recorder>,
) -> Job {
    let (plan, env, recorder) = (plan.clone(), env.clone(), Arc::clone(recorder));
    let words: Vec<_> = words
        .iter()
        .map(|(word, said)| (word.as_str(), said.as_str()))
        .collect();
    Job::from_macro(&plan.name.clone(), &[], &words, Vec::new(), move |ctx| {
        let ending = recorder.started(node, number, &ctx);
        let takes = one_of(&env, &plan.takes).unwrap_or_default();
        let (fate, env) = (env.random(1000), env.clone());
        let (fails, panics) = (u64::from(plan.fails), u64::from(plan.panics));
        async move {
            if !takes.is_zero() {
                env.sleep(takes).await;
            }
            if fate < fails {
                ending.end(How::Failed);
                return Err(BoxError::from("a planned failure"));
            }
            assert!(fate >= fails + panics, "{PLANNED}");
            ending.end(How::Well);
            Ok(())
        }
    })
}
