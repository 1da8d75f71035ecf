//! Values that were pushed to engines of this process, which messages name.

use super::served::Seat;
use super::task::{NotReady, bad};
use crate::dispatch::Pushed;
use crate::nats::blob::Blobs;
use crate::nats::wire::{TasksHead, WireError};
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::pushed::{PushedValue, PushedValues};
use rwasm_value::ids::EngineId;
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Malformed, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

/// Upper bound for a pushed value, in bytes, both as it travels and in memory.
const LARGEST_VALUE: u64 = 256 << 20;

/// Pushed values that are kept for the next tasks, by number and bytes.
const VALUES: usize = 1024;
const VALUE_BYTES: u64 = 256 << 20;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Values {
    known: Mutex<Known>,
    /// Held while one is fetched and decoded.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    kept: HashMap<String, (Arc<PushedValue>, u64, Instant)>,
    bytes: u64,
    /// All that are in memory, with their bytes: messages have some that are not kept any more.
    live: Vec<(Weak<PushedValue>, u64)>,
}

impl Values {
    /// Returns the pushed values of a message's tasks.
    pub(super) async fn of(
        &self,
        head: &TasksHead,
        blobs: &Blobs,
        seat: &Seat,
    ) -> Result<Option<Arc<Pushed>>, NotReady> {
        if head.pushed.is_empty() {
            return Ok(None);
        }
        let mut all: HashMap<EngineId, PushedValues> = HashMap::new();
        let mut read: HashMap<&str, Arc<PushedValue>> = HashMap::new();
        let mut total = 0;
        for form in &head.pushed {
            let value = if let Some(value) = read.get(form.object.as_str()) {
                Arc::clone(value)
            } else {
                let (value, taken) = self.value(&form.object, blobs).await?;
                total += taken;
                if total > LARGEST_VALUE {
                    return Err(too_much());
                }
                read.insert(&form.object, Arc::clone(&value));
                value
            };
            let values = all.entry(seat.here(EngineId(form.engine))).or_default();
            values.insert(form.name.as_str().into(), value);
        }
        let all = all.into_iter().map(|(id, values)| (id, Arc::new(values)));
        Ok(Some(Arc::new(all.collect())))
    }

    /// Returns a pushed value, and the bytes that it takes.
    async fn value(
        &self,
        object: &str,
        blobs: &Blobs,
    ) -> Result<(Arc<PushedValue>, u64), NotReady> {
        let kept = |values: &mut Known| {
            let (value, taken, used) = values.kept.get_mut(object)?;
            *used = Instant::now();
            Some((Arc::clone(value), *taken))
        };
        if let Some(kept) = kept(&mut lock(&self.known)) {
            return Ok(kept);
        }
        // One after the other: while it is decoded, a value takes its room twice.
        let _one_at_a_time = self.reading.lock().await;
        if let Some(kept) = kept(&mut lock(&self.known)) {
            return Ok(kept);
        }
        if lock(&self.known).in_use() > VALUE_BYTES {
            let reason = "the pushed values of other tasks take all the room for them";
            return Err(NotReady::Later(reason.to_owned()));
        }
        let bytes = blobs.get(object, LARGEST_VALUE).await?;
        let decoded =
            tokio::task::spawn_blocking(move || Value::from_tagged(&bytes, LARGEST_VALUE));
        let decoded = decoded.await.map_err(|error| bad(error.to_string()))?;
        let (value, taken) = match decoded {
            Err(Malformed::TooLarge) => return Err(too_much()),
            other => other.map_err(WireError::from)?,
        };
        let value = Arc::new(PushedValue::new(value));
        let mut values = lock(&self.known);
        values.live.retain(|(value, _)| value.strong_count() > 0);
        values.live.push((Arc::downgrade(&value), taken));
        values.bytes += taken;
        let entry = (Arc::clone(&value), taken, Instant::now());
        values.kept.insert(object.to_owned(), entry);
        while values.kept.len() > 1 && (values.kept.len() > VALUES || values.bytes > VALUE_BYTES) {
            let oldest = values.kept.iter().min_by_key(|(_, (.., used))| *used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            if let Some((_, bytes, _)) = values.kept.remove(&oldest) {
                values.bytes -= bytes;
            }
        }
        Ok((value, taken))
    }
}

impl Known {
    /// The bytes of the values that messages have, which were let go of or are kept.
    fn in_use(&self) -> u64 {
        let live = self.live.iter();
        let used = live.filter(|(value, _)| {
            value.upgrade().is_some_and(|value| {
                // This one, and that of those that are kept.
                Arc::strong_count(&value) > 2 || !self.keeps(&value)
            })
        });
        used.map(|(_, taken)| taken).sum()
    }

    fn keeps(&self, value: &Arc<PushedValue>) -> bool {
        self.kept
            .values()
            .any(|(kept, ..)| Arc::ptr_eq(kept, value))
    }
}

fn too_much() -> NotReady {
    let limit = ByteSize::new(LARGEST_VALUE);
    let message = format!(
        "the pushed values of a task take more than {limit}, the most that engines elsewhere keep"
    );
    NotReady::Failed(Failure::new(FailureCode::InputLimit, message))
}
