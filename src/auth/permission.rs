//! Compiled permissions: may this user publish, subscribe, receive?
#[derive(Debug)]
pub struct Permissions;
pub struct Decision;
impl Decision {
    pub fn allowed(&self) -> bool {
        true
    }
}
#[derive(Clone, Copy, Debug)]
pub struct ResponsePermission;
impl Permissions {
    pub fn responses(&self) -> Option<ResponsePermission> {
        None
    }
    pub fn subscribe(&self, _s: &[u8], _q: Option<&[u8]>) -> Decision {
        Decision
    }
    pub fn subscription_needs_filter(&self, _s: &[u8], _q: Option<&[u8]>) -> bool {
        false
    }
    pub fn publish(&self, _s: &[u8]) -> Decision {
        Decision
    }
    pub fn delivers(&self, _s: &[u8], _q: Option<&[u8]>) -> bool {
        true
    }
}
#[derive(Debug)]
pub struct ResponseTracker;
impl ResponseTracker {
    pub fn new(_r: ResponsePermission) -> Self {
        ResponseTracker
    }
    pub fn allows(&mut self, _s: &[u8], _n: u64) -> bool {
        true
    }
    pub fn on_delivery(&mut self, _r: &[u8], _n: u64) {}
}
