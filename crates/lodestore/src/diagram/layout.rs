//! Where boxes and lines go: a layered layout.
//!
//! Boxes stand in ranks, parents before children; a line that passes a rank gets a place of its own in it. Within a
//! rank, order is chosen to cross few lines, then places so that lines run straight: each box wants to stand at the
//! mean of its neighbours, and the nearest places that keep order and distance are found exactly (isotonic regression).
//!
//! Coordinates: *along* the ranks' direction, *across* within a rank. Callers turn them into x and y.

/// Distances.
const RANK_GAP: f64 = 56.0;
const BOX_GAP: f64 = 16.0;
const LINE_GAP: f64 = 10.0;
const MARGIN: f64 = 12.0;
const SWEEPS: usize = 16;

/// The size of a box: along and across.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub along: f64,
    pub across: f64,
}

/// A point: along and across.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub along: f64,
    pub across: f64,
}

/// The result.
#[derive(Debug)]
pub(super) struct Layout {
    /// Centre of each box.
    pub centres: Vec<Point>,
    /// For each line, the points it runs through, from the parent's far side to the child's near side.
    pub paths: Vec<Vec<Point>>,
    /// Size of the whole.
    pub size: Size,
}

/// A place in a rank: a box, or a point of a line.
struct Slot {
    rank: usize,
    size: Size,
    across: f64,
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Lays out boxes in topological order, with lines between them. Lines against the order (between folded schemas) and
/// from a box to itself are allowed.
pub(super) fn layout(sizes: &[Size], lines: &[(usize, usize)]) -> Layout {
    let forward: Vec<(usize, usize)> = lines.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
    let ranks = ranks(sizes.len(), &forward);
    let mut slots: Vec<Slot> = sizes
        .iter()
        .zip(&ranks)
        .map(|(&size, &rank)| Slot {
            rank,
            size,
            across: 0.0,
            before: Vec::new(),
            after: Vec::new(),
        })
        .collect();
    let chains: Vec<Vec<usize>> = forward
        .iter()
        .map(|&(from, to)| thread(&mut slots, from, to))
        .collect();

    let mut order = vec![Vec::new(); ranks.iter().max().map_or(0, |r| r + 1)];
    for (i, slot) in slots.iter().enumerate() {
        order[slot.rank].push(i);
    }
    reduce_crossings(&slots, &mut order);
    place_across(&mut slots, &order);

    let mut along = Vec::with_capacity(order.len());
    let mut at = MARGIN;
    for rank in &order {
        let thickness = rank
            .iter()
            .map(|&i| slots[i].size.along)
            .fold(0.0, f64::max);
        along.push(at + thickness / 2.0);
        at += thickness + RANK_GAP;
    }
    let top = slots
        .iter()
        .map(|s| s.across - s.size.across / 2.0)
        .fold(f64::INFINITY, f64::min);
    let bottom = slots
        .iter()
        .map(|s| s.across + s.size.across / 2.0)
        .fold(f64::NEG_INFINITY, f64::max);
    for slot in &mut slots {
        slot.across += MARGIN - top;
    }
    let centre = |i: usize| Point {
        along: along[slots[i].rank],
        across: slots[i].across,
    };
    let centres = (0..sizes.len()).map(centre).collect();
    let paths = lines
        .iter()
        .zip(&chains)
        .enumerate()
        .map(|(n, (&(parent, child), chain))| {
            let mut path: Vec<Point> = chain.iter().map(|&i| centre(i)).collect();
            // Lines between the same two boxes run side by side.
            let same: Vec<usize> = (0..lines.len())
                .filter(|&m| forward[m] == forward[n])
                .collect();
            let aside = same
                .iter()
                .position(|&m| m == n)
                .map_or(0.0, |k| k as f64 - (same.len() - 1) as f64 / 2.0);
            let last = path.len() - 1;
            path[0].along += slots[chain[0]].size.along / 2.0;
            path[last].along -= slots[chain[last]].size.along / 2.0;
            path[0].across += aside * 7.0;
            path[last].across += aside * 7.0;
            if parent > child {
                path.reverse();
            }
            path
        })
        .collect();
    let size = match order.is_empty() {
        true => Size {
            along: 2.0 * MARGIN,
            across: 2.0 * MARGIN,
        },
        false => Size {
            along: at - RANK_GAP + MARGIN,
            across: bottom - top + 2.0 * MARGIN,
        },
    };
    Layout {
        centres,
        paths,
        size,
    }
}

/// Longest path from the sources; sources then move up to their first child.
fn ranks(count: usize, lines: &[(usize, usize)]) -> Vec<usize> {
    let mut children = vec![Vec::new(); count];
    let mut is_child = vec![false; count];
    for &(from, to) in lines.iter().filter(|(from, to)| from != to) {
        children[from].push(to);
        is_child[to] = true;
    }
    let mut ranks = vec![0; count];
    for i in 0..count {
        for &child in &children[i] {
            ranks[child] = ranks[child].max(ranks[i] + 1);
        }
    }
    for i in (0..count).rev().filter(|&i| !is_child[i]) {
        if let Some(nearest) = children[i].iter().map(|&c| ranks[c]).min() {
            ranks[i] = nearest - 1;
        }
    }
    ranks
}

/// Makes the slots of a line in the ranks it passes, and links them; the whole chain with its ends.
fn thread(slots: &mut Vec<Slot>, from: usize, to: usize) -> Vec<usize> {
    let mut chain = vec![from];
    for rank in slots[from].rank + 1..slots[to].rank {
        let size = Size {
            along: 0.0,
            across: 0.0,
        };
        slots.push(Slot {
            rank,
            size,
            across: 0.0,
            before: Vec::new(),
            after: Vec::new(),
        });
        chain.push(slots.len() - 1);
    }
    chain.push(to);
    if from != to {
        for pair in chain.windows(2) {
            slots[pair[0]].after.push(pair[1]);
            slots[pair[1]].before.push(pair[0]);
        }
    }
    chain
}

/// Orders each rank by the mean position of its neighbours in the rank before, then after, in turn; the best is kept.
fn reduce_crossings(slots: &[Slot], order: &mut Vec<Vec<usize>>) {
    let mut position = vec![0_usize; slots.len()];
    let mark = |order: &[Vec<usize>], position: &mut [usize]| {
        for rank in order {
            for (p, &i) in rank.iter().enumerate() {
                position[i] = p;
            }
        }
    };
    mark(order, &mut position);
    let mut best = (crossings(slots, order, &position), order.clone());
    for sweep in 0..SWEEPS {
        if best.0 == 0 {
            break;
        }
        let downwards = sweep % 2 == 0;
        let ranks: Vec<usize> = if downwards {
            (0..order.len()).collect()
        } else {
            (0..order.len()).rev().collect()
        };
        for r in ranks {
            let wish = |i: usize| {
                let neighbours = if downwards {
                    &slots[i].before
                } else {
                    &slots[i].after
                };
                match neighbours.len() {
                    0 => position[i] as f64,
                    n => neighbours.iter().map(|&j| position[j] as f64).sum::<f64>() / n as f64,
                }
            };
            let mut wishes: Vec<(f64, usize)> = order[r].iter().map(|&i| (wish(i), i)).collect();
            wishes.sort_by(|a, b| a.0.total_cmp(&b.0));
            order[r] = wishes.into_iter().map(|(_, i)| i).collect();
            for (p, &i) in order[r].iter().enumerate() {
                position[i] = p;
            }
        }
        let found = crossings(slots, order, &position);
        if found < best.0 {
            best = (found, order.clone());
        }
    }
    *order = best.1;
}

/// How many pairs of lines cross.
fn crossings(slots: &[Slot], order: &[Vec<usize>], position: &[usize]) -> usize {
    let mut count = 0;
    for rank in order {
        // Ends in the next rank, by place in this one: each inversion is a crossing.
        let mut seen: Vec<usize> = Vec::new();
        for &i in rank {
            let mut ends: Vec<usize> = slots[i].after.iter().map(|&j| position[j]).collect();
            ends.sort_unstable();
            for end in &ends {
                count += seen.len() - seen.partition_point(|s| s <= end);
            }
            for end in ends {
                let at = seen.partition_point(|s| *s <= end);
                seen.insert(at, end);
            }
        }
    }
    count
}

/// Gives each slot its place across, in the given order.
fn place_across(slots: &mut [Slot], order: &[Vec<usize>]) {
    let gap = |slots: &[Slot], a: usize, b: usize| {
        let both = [a, b].map(|i| slots[i].size.across);
        let space = if both.contains(&0.0) {
            LINE_GAP
        } else {
            BOX_GAP
        };
        both.iter().sum::<f64>() / 2.0 + space
    };
    for rank in order {
        for pair in rank.windows(2) {
            slots[pair[1]].across = slots[pair[0]].across + gap(slots, pair[0], pair[1]);
        }
    }
    for sweep in 0..SWEEPS {
        let last = sweep + 2 >= SWEEPS;
        // Boxes without lines keep near the others.
        let linked: Vec<f64> = slots
            .iter()
            .filter(|s| !s.before.is_empty() || !s.after.is_empty())
            .map(|s| s.across)
            .collect();
        let centre = (!linked.is_empty()).then(|| linked.iter().sum::<f64>() / linked.len() as f64);
        let ranks: Vec<usize> = if sweep % 2 == 0 {
            (0..order.len()).collect()
        } else {
            (0..order.len()).rev().collect()
        };
        for r in ranks {
            let rank = &order[r];
            let wishes: Vec<(f64, f64)> = rank
                .iter()
                .map(|&i| {
                    let slot = &slots[i];
                    let one_side = if sweep % 2 == 0 {
                        &slot.before
                    } else {
                        &slot.after
                    };
                    // At the end both sides count, so that neither leans.
                    let neighbours: Vec<usize> = match last || one_side.is_empty() {
                        true => slot.before.iter().chain(&slot.after).copied().collect(),
                        false => one_side.clone(),
                    };
                    let weight = if slot.size.across == 0.0 { 4.0 } else { 1.0 };
                    match neighbours.len() {
                        0 => (centre.unwrap_or(slot.across), 0.1),
                        n => (
                            neighbours.iter().map(|&j| slots[j].across).sum::<f64>() / n as f64,
                            weight,
                        ),
                    }
                })
                .collect();
            let gaps: Vec<f64> = rank
                .windows(2)
                .map(|pair| gap(slots, pair[0], pair[1]))
                .collect();
            for (&i, place) in rank.iter().zip(nearest_places(&wishes, &gaps)) {
                slots[i].across = place;
            }
        }
    }
}

/// The places nearest to the wishes (place, weight), by least squares, that keep the order and the gaps.
fn nearest_places(wishes: &[(f64, f64)], gaps: &[f64]) -> Vec<f64> {
    // Without gaps this is isotonic regression: pool neighbours that stand in the wrong order.
    let mut offset = 0.0;
    let mut offsets = vec![0.0];
    for gap in gaps {
        offset += gap;
        offsets.push(offset);
    }
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (&(wish, weight), offset) in wishes.iter().zip(&offsets) {
        let mut pool = (wish - offset, weight, 1);
        while let Some(&(mean, total, count)) = pools.last().filter(|p| p.0 > pool.0) {
            pool = (
                (mean * total + pool.0 * pool.1) / (total + pool.1),
                total + pool.1,
                count + pool.2,
            );
            pools.pop();
        }
        pools.push(pool);
    }
    let means = pools
        .into_iter()
        .flat_map(|(mean, _, count)| std::iter::repeat_n(mean, count));
    means
        .zip(offsets)
        .map(|(mean, offset)| mean + offset)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    const BOX: Size = Size {
        along: 80.0,
        across: 28.0,
    };

    #[test]
    fn a_parent_alone_stands_next_to_its_child() {
        // 0 → 1 → 2 → 3 and 4 → 5 where 5 is reached late.
        assert_eq!(ranks(5, &[(0, 1), (1, 3), (2, 3), (3, 4)]), [0, 1, 1, 2, 3]);
    }

    #[test]
    fn places_are_the_nearest_that_keep_the_gaps() {
        assert_eq!(
            nearest_places(&[(0.0, 1.0), (100.0, 1.0)], &[10.0]),
            [0.0, 100.0]
        );
        assert_eq!(
            nearest_places(&[(50.0, 1.0), (50.0, 1.0)], &[10.0]),
            [45.0, 55.0]
        );
        assert_eq!(nearest_places(&[], &[]), [0.0; 0]);
    }

    #[test]
    fn crossing_lines_are_untangled() {
        let layout = layout(&[BOX; 4], &[(0, 3), (1, 2)]);
        let above = |a: usize, b: usize| layout.centres[a].across < layout.centres[b].across;
        assert_eq!(above(0, 1), above(3, 2));
    }

    proptest! {
        #[test]
        fn boxes_never_overlap_and_lines_run_forward(
            count in 1..14_usize,
            lines in prop::collection::vec((0..14_usize, 0..14_usize), 0..30),
        ) {
            let lines: Vec<(usize, usize)> = lines.into_iter().map(|(a, b)| (a % count, b % count)).collect();
            let layout = layout(&vec![BOX; count], &lines);
            for (i, a) in layout.centres.iter().enumerate() {
                prop_assert!(a.along >= BOX.along / 2.0 && a.along + BOX.along / 2.0 <= layout.size.along);
                prop_assert!(a.across >= BOX.across / 2.0 && a.across + BOX.across / 2.0 <= layout.size.across + 1e-6);
                for b in &layout.centres[..i] {
                    let apart = (a.along - b.along).abs() >= BOX.along || (a.across - b.across).abs() >= BOX.across;
                    prop_assert!(apart, "{:?} {:?}", a, b);
                }
            }
            for (path, &(parent, child)) in layout.paths.iter().zip(&lines) {
                if parent < child {
                    prop_assert!(path.windows(2).all(|p| p[0].along < p[1].along), "{:?}", path);
                }
            }
        }
    }
}
