//! The fixed merge tree: which partial results a guest's reducer combines, the same for every number of chunks.
//!
//! The leaves are the outcomes of the chunks, in input order. Node `j` of rank `r + 1` combines the nodes of rank `r`
//! from `j * arity` on, and no others, so what is combined with what depends only on the number of leaves; the times
//! at which leaves arrive and combines finish change only the order of the calls. The tree calls nobody: it hands out
//! combines and takes back their results. The job machine owns it.

use rwasm_value::ids::ChunkIndex;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// How many parts one call combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A reducer of lists. It has the last word: even a single leaf goes through one call.
    List {
        /// Leaves per call, at least 2.
        first: usize,
        /// Parts per call above that, at least 2.
        above: usize,
    },
    /// A reducer of two. A single leaf passes unchanged.
    Pair,
}

/// Leaves per call: few enough that merging starts early and spreads over the engines, even for a single book.
const LIST_FIRST: usize = 8;

/// Parts per call above the leaves, where what costs is the growing result: a wide call grows it once.
const LIST_ABOVE: usize = 32;

impl Shape {
    /// The shape for reducers of lists.
    pub(crate) const LIST: Self = Self::List {
        first: LIST_FIRST,
        above: LIST_ABOVE,
    };

    /// The number of nodes of `rank` that make one of the next.
    fn arity(self, rank: u32) -> u64 {
        match self {
            Self::List { first, above } => (if rank == 0 { first } else { above }).max(2) as u64,
            Self::Pair => 2,
        }
    }
}

/// A place in the tree above the leaves, which are rank 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    /// The longest way down to a leaf.
    pub(crate) rank: u32,
    /// Its place among the nodes of its rank, in input order.
    pub(crate) index: u64,
}

/// One call of the reducer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Combine<P> {
    /// Where the result goes.
    pub(crate) node: Node,
    /// What is combined, in input order.
    pub(crate) parts: Vec<P>,
    /// The first leaf below the node.
    pub(crate) first_leaf: ChunkIndex,
}

/// The tree as far as it has grown. See the [module](self).
pub(crate) struct Tree<P> {
    shape: Shape,
    /// By rank of their members, the groups that become nodes of the next rank.
    ranks: Vec<Rank<P>>,
    /// The nodes whose parts are all there: lowest rank first, then input order.
    ready: BinaryHeap<Reverse<Node>>,
    /// The number of nodes per rank up to the single one at the top, once the number of leaves is known.
    counts: Option<Vec<u64>>,
    /// A lone leaf that waits for the reducer's last word.
    alone: Option<P>,
    root: Root<P>,
    held: usize,
}

/// The groups of a rank. All before the first in the queue are done.
struct Rank<P> {
    done: u64,
    groups: VecDeque<Group<P>>,
}

enum Group<P> {
    /// Parts with their places, in input order; `arrived` counts the absent ones too.
    Gathering {
        parts: Vec<(u64, Part<P>)>,
        arrived: u64,
    },
    /// Waiting in `ready`.
    Complete(Vec<(u64, Part<P>)>),
    /// Handed out, or passed on.
    Gone,
}

struct Part<P> {
    value: P,
    /// Whether no call has made it: it is a leaf.
    raw: bool,
}

enum Root<P> {
    Growing,
    Grown(Option<P>),
    Taken,
}

impl<P> Tree<P> {
    /// A tree without leaves.
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            ranks: Vec::new(),
            ready: BinaryHeap::new(),
            counts: None,
            alone: None,
            root: Root::Growing,
            held: 0,
        }
    }

    /// Leaf `index` is known; `None` where its task failed and that is tolerated. Once per leaf, in any order.
    pub(crate) fn leaf(&mut self, index: ChunkIndex, part: Option<P>) {
        self.held += usize::from(part.is_some());
        self.arrive(0, index.0, part.map(|value| Part { value, raw: true }));
    }

    /// There are `leaves` leaves and no more. Once, before or after the last of them.
    pub(crate) fn close(&mut self, leaves: u64) {
        debug_assert!(self.counts.is_none(), "closed again, with {leaves} leaves");
        if leaves == 0 {
            self.counts = Some(Vec::new());
            self.root = Root::Grown(None);
            return;
        }
        let mut counts = vec![leaves];
        for rank in 0.. {
            let count = counts[counts.len() - 1];
            if count == 1 {
                break;
            }
            counts.push(count.div_ceil(self.shape.arity(rank)));
        }
        self.counts = Some(counts.clone());
        // The last group of each rank may have been waiting for members that do not come.
        for (rank, count) in (0..).zip(counts) {
            self.settle(rank, (count - 1) / self.shape.arity(rank));
        }
    }

    /// The next call to make: lower ranks first, then input order.
    pub(crate) fn next_ready(&mut self) -> Option<Combine<P>> {
        let Reverse(node) = self.ready.pop()?;
        let parts: Vec<P> = match self.alone.take() {
            Some(leaf) => vec![leaf],
            None => self
                .take_group(node.rank - 1, node.index)
                .into_iter()
                .map(|part| part.value)
                .collect(),
        };
        debug_assert!(!parts.is_empty(), "{node:?} was ready without parts");
        self.held -= parts.len();
        Some(Combine {
            node,
            parts,
            first_leaf: self.first_leaf(node),
        })
    }

    /// What the call for `node` gave.
    pub(crate) fn combined(&mut self, node: Node, part: P) {
        self.held += 1;
        self.arrive(
            node.rank,
            node.index,
            Some(Part {
                value: part,
                raw: false,
            }),
        );
    }

    /// The result, once, as soon as there is nothing left to combine; within it `None` if all leaves are absent.
    #[expect(
        clippy::option_option,
        reason = "finished or not, with or without a result"
    )]
    pub(crate) fn root(&mut self) -> Option<Option<P>> {
        match std::mem::replace(&mut self.root, Root::Taken) {
            Root::Grown(part) => {
                self.held -= usize::from(part.is_some());
                Some(part)
            }
            other => {
                self.root = other;
                None
            }
        }
    }

    /// How many partial results it holds; those handed out to be combined are not its own.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Takes in the node `index` of `rank`, and what follows from it as far as no call is needed.
    fn arrive(&mut self, rank: u32, index: u64, part: Option<Part<P>>) {
        if let Some(counts) = &self.counts
            && rank as usize + 1 >= counts.len()
        {
            debug_assert!(
                index == 0,
                "node {index} of rank {rank}, of which there is one"
            );
            return self.crown(rank, part);
        }
        let arity = self.shape.arity(rank);
        let (group, place) = (index / arity, index % arity);
        match self.open_group(rank, group) {
            Some(Group::Gathering { parts, arrived }) => {
                *arrived += 1;
                debug_assert!(
                    *arrived <= arity,
                    "{arrived} nodes in group {group} of rank {rank}"
                );
                if let Some(part) = part {
                    let at = parts
                        .iter()
                        .rposition(|(other, _)| *other < place)
                        .map_or(0, |before| before + 1);
                    debug_assert!(
                        parts.get(at).is_none_or(|(other, _)| *other != place),
                        "node {index} of rank {rank} came twice"
                    );
                    parts.insert(at, (place, part));
                }
            }
            Some(Group::Complete(_) | Group::Gone) | None => {
                debug_assert!(
                    false,
                    "node {index} of rank {rank} came after its group had gone"
                );
                return;
            }
        }
        self.settle(rank, group);
    }

    /// Hands on the group if all its members are known.
    fn settle(&mut self, rank: u32, group: u64) {
        let arity = self.shape.arity(rank);
        let count = self.counts.as_ref().map(|counts| counts[rank as usize]);
        let expected = count.map_or(arity, |count| arity.min(count - group * arity));
        let Some(members) = self.group(rank, group) else {
            return;
        };
        match members {
            Group::Gathering { parts, arrived } if *arrived == expected => {
                if parts.len() > 1 {
                    *members = Group::Complete(std::mem::take(parts));
                    self.ready.push(Reverse(Node {
                        rank: rank + 1,
                        index: group,
                    }));
                    return;
                }
            }
            _ => return,
        }
        let part = self.take_group(rank, group).pop();
        if count == Some(1) {
            // It came before it was known that it is the only one of its rank.
            self.crown(rank, part);
        } else {
            self.arrive(rank + 1, group, part);
        }
    }

    /// Takes the only node of the highest rank.
    fn crown(&mut self, rank: u32, part: Option<Part<P>>) {
        match (part, self.shape) {
            (Some(Part { value, raw: true }), Shape::List { .. }) => {
                self.alone = Some(value);
                self.ready.push(Reverse(Node {
                    rank: rank + 1,
                    index: 0,
                }));
            }
            (part, _) => self.root = Root::Grown(part.map(|part| part.value)),
        }
    }

    /// The group, if any of its members has come; `None` too once it and all before it have gone.
    fn group(&mut self, rank: u32, group: u64) -> Option<&mut Group<P>> {
        let Rank { done, groups } = self.ranks.get_mut(rank as usize)?;
        groups.get_mut(usize::try_from(group.checked_sub(*done)?).ok()?)
    }

    /// The group, for another of its members.
    fn open_group(&mut self, rank: u32, group: u64) -> Option<&mut Group<P>> {
        while self.ranks.len() <= rank as usize {
            self.ranks.push(Rank {
                done: 0,
                groups: VecDeque::new(),
            });
        }
        let Rank { done, groups } = &mut self.ranks[rank as usize];
        while *done + groups.len() as u64 <= group {
            groups.push_back(Group::Gathering {
                parts: Vec::new(),
                arrived: 0,
            });
        }
        self.group(rank, group)
    }

    /// Takes a group's parts and forgets the groups that are all through.
    fn take_group(&mut self, rank: u32, group: u64) -> Vec<Part<P>> {
        let taken = self
            .group(rank, group)
            .map(|group| std::mem::replace(group, Group::Gone));
        if let Some(Rank { done, groups }) = self.ranks.get_mut(rank as usize) {
            while let Some(Group::Gone) = groups.front() {
                groups.pop_front();
                *done += 1;
            }
        }
        match taken {
            Some(Group::Gathering { parts, .. } | Group::Complete(parts)) => {
                parts.into_iter().map(|(_, part)| part).collect()
            }
            Some(Group::Gone) | None => Vec::new(),
        }
    }

    fn first_leaf(&self, node: Node) -> ChunkIndex {
        let leaves = (0..node.rank).fold(node.index, |leaf, rank| {
            leaf.saturating_mul(self.shape.arity(rank))
        });
        ChunkIndex(leaves)
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The whole tree as nested brackets, rank by rank.
    pub(crate) fn model(shape: Shape, leaves: &[Option<String>]) -> Option<String> {
        let mut nodes: Vec<_> = leaves
            .iter()
            .map(|leaf| leaf.clone().map(|text| (text, true)))
            .collect();
        for rank in 0.. {
            if nodes.len() <= 1 {
                break;
            }
            let groups = nodes.chunks(shape.arity(rank) as usize);
            nodes = groups
                .map(
                    |group| match &group.iter().flatten().collect::<Vec<_>>()[..] {
                        [] => None,
                        [one] => Some((*one).clone()),
                        many => Some((
                            bracket(
                                &many
                                    .iter()
                                    .map(|(text, _)| text.clone())
                                    .collect::<Vec<_>>(),
                            ),
                            false,
                        )),
                    },
                )
                .collect();
        }
        let last_word = matches!(shape, Shape::List { .. });
        nodes.pop().flatten().map(|(text, raw)| {
            if raw && last_word {
                bracket(&[text])
            } else {
                text
            }
        })
    }

    /// The reducer of these tests.
    pub(crate) fn bracket(parts: &[String]) -> String {
        format!("({})", parts.join(" "))
    }

    pub(crate) fn any_shape() -> impl Strategy<Value = Shape> {
        prop_oneof![
            Just(Shape::Pair),
            Just(Shape::LIST),
            (2_usize..6, 2_usize..6).prop_map(|(first, above)| Shape::List { first, above }),
        ]
    }

    /// Feeds the leaves in the order of `order`, and finishes calls in another order that follows from it.
    fn grow(
        shape: Shape,
        leaves: &[Option<String>],
        order: &[usize],
        close_after: usize,
    ) -> Option<String> {
        let mut tree = Tree::new(shape);
        let mut calls = vec![];
        let mut step = 0_usize;
        for (fed, &leaf) in order.iter().enumerate() {
            if fed == close_after {
                tree.close(leaves.len() as u64);
            }
            tree.leaf(ChunkIndex(leaf as u64), leaves[leaf].clone());
            calls.extend(std::iter::from_fn(|| tree.next_ready()));
            step = step.wrapping_mul(31).wrapping_add(leaf);
            if !calls.is_empty() && step.is_multiple_of(3) {
                let Combine { node, parts, .. } = calls.swap_remove(step % calls.len());
                tree.combined(node, bracket(&parts));
            }
        }
        if close_after >= order.len() {
            assert!(tree.root().is_none());
            tree.close(leaves.len() as u64);
        }
        loop {
            calls.extend(std::iter::from_fn(|| tree.next_ready()));
            let Some(Combine { node, parts, .. }) = calls.pop() else {
                break;
            };
            assert!(tree.root().is_none(), "grown with calls outstanding");
            tree.combined(node, bracket(&parts));
        }
        let root = tree.root().expect("all is combined");
        assert!(tree.root().is_none(), "the root came twice");
        assert_eq!(tree.held(), 0);
        assert!(
            tree.ranks.iter().all(|rank| rank.groups.is_empty()),
            "groups are left"
        );
        root
    }

    fn leaves(present: &[bool]) -> Vec<Option<String>> {
        present
            .iter()
            .enumerate()
            .map(|(n, present)| present.then(|| n.to_string()))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

        #[test]
        fn the_shape_is_the_models_in_any_order(
            shape in any_shape(),
            (present, order) in prop::collection::vec(prop::bool::weighted(0.8), 0..150).prop_flat_map(|present| {
                let order = Just((0..present.len()).collect::<Vec<_>>()).prop_shuffle();
                (Just(present), order)
            }),
            close_after in 0_usize..200,
        ) {
            let leaves = leaves(&present);
            let root = grow(shape, &leaves, &order, close_after);
            prop_assert_eq!(&root, &model(shape, &leaves));
            let flat = root.unwrap_or_default().replace(['(', ')'], "");
            let expected: Vec<_> = leaves.into_iter().flatten().collect();
            prop_assert_eq!(flat, expected.join(" "));
        }

        #[test]
        fn calls_come_lowest_rank_first_then_in_input_order(shape in any_shape(), count in 1_u64..200) {
            let mut tree = Tree::new(shape);
            for leaf in (0..count).rev() {
                tree.leaf(ChunkIndex(leaf), Some(()));
            }
            tree.close(count);
            let mut last = None;
            while let Some(Combine { node, first_leaf, .. }) = tree.next_ready() {
                prop_assert!(last < Some(node));
                prop_assert_eq!(first_leaf.0, node.index * (0..node.rank).map(|rank| shape.arity(rank)).product::<u64>());
                last = Some(node);
            }
        }

        #[test]
        fn leaves_in_order_leave_few_partials(shape in any_shape(), count in 1_u64..5000) {
            let mut tree = Tree::new(shape);
            let mut most = 0;
            for leaf in 0..count {
                tree.leaf(ChunkIndex(leaf), Some(()));
                most = most.max(tree.held());
                while let Some(Combine { node, .. }) = tree.next_ready() {
                    tree.combined(node, ());
                }
            }
            let (mut bound, mut nodes, mut rank) = (0, count, 0);
            while nodes > 0 {
                bound += shape.arity(rank);
                nodes /= shape.arity(rank);
                rank += 1;
            }
            prop_assert!(most as u64 <= bound, "{} partials of {} leaves, bound {}", most, count, bound);
        }
    }

    #[test]
    fn a_list_reducer_has_the_last_word_on_a_single_part() {
        let one = |shape, leaves: &[Option<String>]| {
            grow(shape, leaves, &(0..leaves.len()).collect::<Vec<_>>(), 0).unwrap_or_default()
        };
        assert_eq!(one(Shape::LIST, &leaves(&[true])), "(0)");
        assert_eq!(one(Shape::LIST, &leaves(&[false, true, false])), "(1)");
        assert_eq!(one(Shape::Pair, &leaves(&[true])), "0");
        assert_eq!(one(Shape::Pair, &leaves(&[false, true, true])), "(1 2)");
        assert_eq!(
            one(Shape::LIST, &leaves(&[true; 9])),
            "((0 1 2 3 4 5 6 7) 8)"
        );
        assert_eq!(one(Shape::LIST, &leaves(&[false; 9])), "");
    }
}
