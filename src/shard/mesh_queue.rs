//! placeholder
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
#[derive(Debug)]
pub struct Producer<T> {
    q: Arc<Mutex<VecDeque<T>>>,
    cap: usize,
}
#[derive(Debug)]
pub struct Consumer<T> {
    q: Arc<Mutex<VecDeque<T>>>,
}
pub fn queue<T>(cap: usize) -> (Producer<T>, Consumer<T>) {
    let q = Arc::new(Mutex::new(VecDeque::new()));
    (Producer { q: q.clone(), cap }, Consumer { q })
}
impl<T> Producer<T> {
    pub fn push(&mut self, t: T) -> Result<(), T> {
        let mut q = self.q.lock().unwrap();
        if q.len() >= self.cap {
            return Err(t);
        }
        q.push_back(t);
        Ok(())
    }
}
impl<T> Consumer<T> {
    pub fn pop(&mut self) -> Option<T> {
        self.q.lock().unwrap().pop_front()
    }
    pub fn len(&self) -> usize {
        self.q.lock().unwrap().len()
    }
}
