//! What a worker knows by numbers.

/// What a worker keeps of each kind, at most.
const MOST_KEPT: usize = 16;

/// What is known to a worker by a number; the last used last.
pub(super) struct Numbered<T>(pub(super) Vec<(u64, T)>);

impl<T> Numbered<T> {
    /// Returns the number of what is known, put last.
    pub(super) fn find(&mut self, is: impl Fn(&T) -> bool) -> Option<u64> {
        let place = self.0.iter().position(|(_, one)| is(one))?;
        let found = self.0.remove(place);
        let number = found.0;
        self.0.push(found);
        Some(number)
    }

    /// Adds one, and returns the one that has to go for it.
    pub(super) fn add(&mut self, number: u64, one: T) -> Option<(u64, T)> {
        self.0.push((number, one));
        (self.0.len() > MOST_KEPT).then(|| self.0.remove(0))
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
