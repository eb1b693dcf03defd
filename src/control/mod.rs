//! The control thread: boot, workers, shutdown. Does everything slow; never touches a message.

pub mod boot;
pub mod process {
    pub fn pin(_c: usize) -> Result<(), String> {
        Ok(())
    }
}
pub mod shards;
pub mod workers;
