//! Requests that came before: what was answered is answered again, and nothing is done twice.
//!
//! Each app has a bound of its own, so that no tenant can push another's answers out. At the bound the oldest answer is
//! forgotten: its request, sent again, is a new one. A request that is under way is never forgotten.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use protocol::AppId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::{Answer, Refused};

/// Answers by the name of their request.
pub(crate) struct Once {
    weight_max: usize,
    lifetime: Duration,
    apps: Mutex<HashMap<AppId, Kept>>,
}

#[derive(Default)]
struct Kept {
    requests: HashMap<Arc<str>, Request>,
    /// Names of answered requests, oldest first, with the time at which each is forgotten.
    answered: VecDeque<(Instant, Arc<str>)>,
    weight: usize,
}

struct Request {
    /// Of what was asked, to tell another request under the same name.
    fingerprint: u64,
    state: State,
}

enum State {
    UnderWay(watch::Receiver<Option<Answer>>),
    Answered(Answer),
}

enum Begun<'o> {
    First(First<'o>),
    UnderWay(watch::Receiver<Option<Answer>>),
    Answered(Answer),
}

/// The one who does it. Dropped without an answer, the next one may.
struct First<'o> {
    once: &'o Once,
    app: &'o AppId,
    name: Arc<str>,
    tell: watch::Sender<Option<Answer>>,
}

impl Once {
    /// Keeps answers of so much weight for each app (an answer counts once per started KiB), for so long.
    pub(crate) fn new(weight_max: usize, lifetime: Duration) -> Self {
        Self { weight_max, lifetime, apps: Mutex::default() }
    }

    /// Does the work unless it was done under this name, or waits for whoever does it now. Only an answer of success is
    /// kept: a refused request did nothing and may be sent again.
    ///
    /// # Errors
    /// [`Refused::KeyReused`]: the name is that of another request.
    pub(super) async fn run(
        &self,
        app: &AppId,
        name: &str,
        fingerprint: u64,
        work: impl Future<Output = Answer>,
    ) -> Result<Answer, Refused> {
        let again = |answer: Answer| Ok(answer.replayed_if(true));
        let work = pin!(work);
        let first = loop {
            match self.begin(app, name, fingerprint)? {
                Begun::Answered(answer) => return again(answer),
                Begun::UnderWay(mut told) => {
                    let answer = told.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
                    if let Some(answer) = answer {
                        return again(answer);
                    }
                }
                Begun::First(first) => break first,
            }
        };
        let answer = work.await;
        if answer.status.is_success() {
            first.answered(&answer);
        }
        Ok(answer)
    }

    fn begin<'o>(&'o self, app: &'o AppId, name: &str, fingerprint: u64) -> Result<Begun<'o>, Refused> {
        let mut apps = self.lock();
        if !apps.contains_key(app) {
            apps.insert(app.clone(), Kept::default());
        }
        let kept = apps.get_mut(app).expect("it was just made");
        kept.forget(Instant::now(), self.weight_max);
        if let Some(request) = kept.requests.get(name) {
            return match &request.state {
                _ if request.fingerprint != fingerprint => Err(Refused::KeyReused),
                State::UnderWay(told) => Ok(Begun::UnderWay(told.clone())),
                State::Answered(answer) => Ok(Begun::Answered(answer.clone())),
            };
        }
        let (tell, told) = watch::channel(None);
        let name: Arc<str> = name.into();
        kept.requests.insert(Arc::clone(&name), Request { fingerprint, state: State::UnderWay(told) });
        Ok(Begun::First(First { once: self, app, name, tell }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Kept>> {
        self.apps.lock().expect("nothing panics while the answers are locked")
    }
}

impl Kept {
    /// Forgets what is over its time, and the oldest of what is too much.
    fn forget(&mut self, now: Instant, weight_max: usize) {
        while let Some((until, _)) = self.answered.front()
            && (*until <= now || self.weight > weight_max)
        {
            let Some((_, name)) = self.answered.pop_front() else { return };
            if let Some(Request { state: State::Answered(answer), .. }) = self.requests.remove(&name) {
                self.weight -= answer.weight();
            }
        }
    }
}

impl First<'_> {
    fn answered(&self, answer: &Answer) {
        let now = Instant::now();
        let mut apps = self.once.lock();
        if let Some(kept) = apps.get_mut(self.app)
            && let Some(request) = kept.requests.get_mut(&self.name)
        {
            request.state = State::Answered(answer.clone());
            kept.weight += answer.weight();
            kept.answered.push_back((now + self.once.lifetime, Arc::clone(&self.name)));
            kept.forget(now, self.once.weight_max);
        }
        drop(apps);
        self.tell.send_replace(Some(answer.clone()));
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if let Some(kept) = self.once.lock().get_mut(self.app)
            && matches!(kept.requests.get(&self.name), Some(Request { state: State::UnderWay(_), .. }))
        {
            kept.requests.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str) -> AppId {
        id.try_into().unwrap()
    }

    async fn run(once: &Once, app: &AppId, name: &str) -> bool {
        once.run(app, name, 0, async { Answer::done() }).await.unwrap().replayed
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_its_time_and_up_to_the_bound() {
        let once = Once::new(2, Duration::from_secs(10));
        let (one, two) = (app("1"), app("2"));
        assert!(!run(&once, &one, "a").await);
        assert!(run(&once, &one, "a").await);
        assert!(!run(&once, &two, "a").await, "another app's");
        assert!(!run(&once, &one, "b").await);
        assert!(run(&once, &one, "a").await);
        assert!(!run(&once, &one, "c").await);
        assert!(run(&once, &one, "b").await && run(&once, &one, "c").await);
        assert!(!run(&once, &one, "a").await, "the oldest of three was forgotten");
        assert!(run(&once, &two, "a").await, "and another app's was not");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!run(&once, &two, "a").await);
    }

    #[tokio::test]
    async fn a_name_of_another_request_is_refused_and_a_failure_is_not_kept() {
        let (once, app) = (Once::new(9, Duration::from_secs(10)), app("1"));
        let busy = once.run(&app, "a", 0, async { Refused::Busy.into() }).await.unwrap();
        assert_eq!(busy, Refused::Busy.into());
        assert!(!run(&once, &app, "a").await);
        assert_eq!(once.run(&app, "a", 1, async { Answer::done() }).await, Err(Refused::KeyReused));
    }

    #[tokio::test]
    async fn who_comes_second_waits_for_the_first_and_takes_over_from_one_that_gave_up() {
        let (once, app) = (Once::new(9, Duration::from_secs(10)), app("1"));
        let (go, gone) = tokio::sync::oneshot::channel();
        let first = once.run(&app, "a", 0, async { gone.await.unwrap() });
        let second = once.run(&app, "a", 0, async { panic!("done twice") });
        let third = async { go.send(Answer::accepted()).unwrap() };
        let (first, second, ()) = tokio::join!(first, second, third);
        assert_eq!((first.unwrap().replayed, second.unwrap().replayed), (false, true));

        let mut never = Box::pin(once.run(&app, "b", 0, std::future::pending()));
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(never.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        let waits = async { run(&once, &app, "b").await };
        let gives_up = async { drop(never) };
        assert!(!tokio::join!(waits, gives_up).0);
    }
}
