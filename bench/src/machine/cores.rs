//! Which cores a measurement uses, and in which order.

use std::fs;

/// Cores by their numbers, the first to be used last.
#[derive(Debug, PartialEq, Eq)]
pub struct Cores {
    pub numbers: Vec<usize>,
    /// So many at the end have nothing in common but the memory that they are next to.
    pub alike: usize,
}

/// Where a core is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whoever is called the same is the same core's other thread.
    pub core: String,
    /// Cores of one machine may be large or small; the kernel tells where they may.
    pub capacity: Option<u32>,
    pub node: Option<usize>,
}

impl Place {
    /// As the kernel tells it; where it does not, each core is its own.
    pub fn of(core: usize) -> Place {
        let folder = format!("/sys/devices/system/cpu/cpu{core}");
        let file = |name: &str| fs::read_to_string(format!("{folder}/{name}")).ok();
        let siblings = file("topology/thread_siblings_list");
        let capacity = file("cpu_capacity");
        let names = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        Place {
            core: siblings.map_or_else(|| core.to_string(), |text| text.trim().to_owned()),
            capacity: capacity.and_then(|text| text.trim().parse().ok()),
            node: names.filter_map(|name| name.to_str()?.strip_prefix("node")?.parse().ok()).next(),
        }
    }
}

impl Cores {
    /// Of those that may be used: the fastest, and of these the last, and before it those that are like it; other threads of any
    /// of them, other nodes' and slower ones at the beginning.
    pub fn of(all: impl IntoIterator<Item = usize>, place: impl Fn(usize) -> Place) -> Cores {
        let places: Vec<(usize, Place)> = all.into_iter().map(|core| (core, place(core))).collect();
        let Some((_, best)) = places.iter().max_by_key(|(_, place)| place.capacity) else {
            return Cores { numbers: Vec::new(), alike: 0 };
        };
        let mut taken: Vec<&Place> = Vec::new();
        let (mut alike, mut others) = (Vec::new(), Vec::new());
        for (core, place) in places.iter().rev() {
            let is_alike = place.capacity == best.capacity && place.node == best.node;
            if is_alike && taken.iter().all(|other| other.core != place.core) {
                taken.push(place);
                alike.push(*core);
            } else {
                others.push(*core);
            }
        }
        let count = alike.len();
        Cores { numbers: others.into_iter().rev().chain(alike.into_iter().rev()).collect(), alike: count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(core: &str, capacity: u32, node: usize) -> Place {
        Place { core: core.into(), capacity: Some(capacity), node: Some(node) }
    }

    fn cores(places: &[Place]) -> Cores {
        Cores::of(0..places.len(), |core| places[core].clone())
    }

    #[test]
    fn the_last_are_used_first() {
        let places = ["0", "1", "2"].map(|core| place(core, 1024, 0));
        assert_eq!(cores(&places), Cores { numbers: vec![0, 1, 2], alike: 3 });
        assert_eq!(cores(&[]), Cores { numbers: vec![], alike: 0 });
    }

    #[test]
    fn no_two_threads_of_a_core_before_all_cores_have_one() {
        let pairs = ["0,1", "0,1", "2,3", "2,3"].map(|core| place(core, 1024, 0));
        assert_eq!(cores(&pairs), Cores { numbers: vec![0, 2, 1, 3], alike: 2 });
        let halves = ["0,2", "1,3", "0,2", "1,3"].map(|core| place(core, 1024, 0));
        assert_eq!(cores(&halves), Cores { numbers: vec![0, 1, 2, 3], alike: 2 });
    }

    #[test]
    fn large_cores_of_one_node_come_first() {
        let hybrid = [("0", 1024), ("1", 1024), ("2", 400), ("3", 400)];
        let hybrid = hybrid.map(|(core, capacity)| place(core, capacity, 0));
        assert_eq!(cores(&hybrid), Cores { numbers: vec![2, 3, 0, 1], alike: 2 });
        let nodes = [("0", 0), ("1", 1), ("2", 0), ("3", 1)].map(|(core, node)| place(core, 1024, node));
        assert_eq!(cores(&nodes), Cores { numbers: vec![0, 2, 1, 3], alike: 2 });
    }

    #[test]
    fn the_kernel_tells_of_this_machine() {
        let here = Cores::of([0], Place::of);
        assert_eq!(here, Cores { numbers: vec![0], alike: 1 });
    }
}
