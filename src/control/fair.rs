//! The order of jobs from many sources: each source in its turn. Owns the queues; never knows what a job is.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Jobs by source. A source with a thousand jobs delays another's only job by one.
#[derive(Debug)]
pub struct Fair<T> {
    queues: HashMap<IpAddr, VecDeque<T>>,
    /// Sources with jobs, who is next first.
    turns: VecDeque<IpAddr>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Fair {
            queues: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T> Fair<T> {
    /// One more job of this source, behind its others.
    pub fn push(&mut self, source: IpAddr, job: T) {
        let source = network(source);
        let queue = self.queues.entry(source).or_default();
        if queue.is_empty() {
            self.turns.push_back(source);
        }
        queue.push_back(job);
    }

    /// Whether there is no job.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The oldest job of the source whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let source = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&source)?;
        let job = queue.pop_front();
        match queue.is_empty() {
            true => drop(self.queues.remove(&source)),
            false => self.turns.push_back(source),
        }
        job
    }
}

/// What counts as one source: an IPv4 address, or the /64 that one host usually has to itself in IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(jobs: &[(&str, u32)]) -> Vec<u32> {
        let mut fair = Fair::default();
        for (source, job) in jobs {
            fair.push(source.parse().expect("an address"), *job);
        }
        std::iter::from_fn(|| fair.pop()).collect()
    }

    #[test]
    fn each_source_in_its_turn() {
        let crowd = [
            ("10.0.0.1", 1),
            ("10.0.0.1", 2),
            ("10.0.0.1", 3),
            ("10.0.0.2", 4),
            ("10.0.0.2", 5),
            ("::1", 6),
        ];
        assert_eq!(order(&crowd), [1, 4, 6, 2, 5, 3]);
    }

    #[test]
    fn a_host_s_many_addresses_are_one_source() {
        let crowd = [
            ("2001:db8::1", 1),
            ("2001:db8::2", 2),
            ("2001:db8::3", 3),
            ("2001:db8:0:1::1", 4),
            ("10.0.0.1", 5),
            ("::ffff:10.0.0.1", 6),
        ];
        assert_eq!(order(&crowd), [1, 4, 5, 2, 6, 3]);
    }

    proptest! {
        /// Nothing is lost, a source's jobs keep their order, and nobody is passed twice while it waits.
        #[test]
        fn fair(steps in prop::collection::vec(prop::option::weighted(0.6, 0u8..5), 0..200)) {
            let mut fair = Fair::default();
            let mut waiting: Vec<VecDeque<usize>> = vec![VecDeque::new(); 5];
            // How often each other source was served since this one began to wait for its turn.
            let mut passed = [[0u32; 5]; 5];
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Some(source) => {
                        fair.push(IpAddr::from([10, 0, 0, source]), (source, number));
                        if waiting[usize::from(source)].is_empty() {
                            passed[usize::from(source)] = [0; 5];
                        }
                        waiting[usize::from(source)].push_back(number);
                    }
                    None => {
                        let Some((source, job)) = fair.pop() else {
                            prop_assert!(waiting.iter().all(VecDeque::is_empty));
                            continue;
                        };
                        let source = usize::from(source);
                        prop_assert_eq!(waiting[source].pop_front(), Some(job));
                        passed[source] = [0; 5];
                        for other in (0..5).filter(|other| *other != source && !waiting[*other].is_empty()) {
                            passed[other][source] += 1;
                            prop_assert!(passed[other][source] <= 1);
                        }
                    }
                }
            }
        }
    }
}
