//! The order of what waits: pure bookkeeping, without threads, clocks or servers.
//!
//! Every key with something waiting has a *chain*: its messages, and the *gates* of direct verbs, in the
//! order in which they came. Only the head of a chain may travel or be open, so a key is never in two
//! requests at once and nothing overtakes within a key. Chains whose head may be sent stand in the
//! *ready* line, first come first served.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::message::Message;
use crate::queue::journal::Number;
use crate::queue::receipt::Receipt;

/// A place in one of the two slabs below.
type Slot = u32;
const NIL: Slot = Slot::MAX;

/// A message that was accepted and is not settled.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Message,
    /// When it was accepted, since the lane's epoch.
    pub(super) accepted: Duration,
    /// The flush round it belongs to.
    pub(super) round: u32,
    /// Told how it ends, if anybody asked.
    pub(super) receipt: Option<Receipt>,
    /// Its place in the journal, if there is one.
    pub(super) number: Option<Number>,
}

#[derive(Debug)]
enum Entry {
    Message(Waiting),
    /// A direct verb that holds, or waits for, its key. The key lives here in case nothing else has it.
    Gate {
        key: Box<str>,
        open: bool,
        released: bool,
        /// Who is called when it opens.
        caller: Option<Caller>,
        /// What it is for has begun, or will at once. Until then none behind it may open together with it.
        begun: bool,
    },
    Free,
}

#[derive(Debug)]
struct Item {
    entry: Entry,
    next: Slot,
    chain: Slot,
}

#[derive(Debug)]
struct Chain {
    hash: u64,
    head: Slot,
    tail: Slot,
    /// How many items from the head on are in flight.
    in_flight: u32,
    /// Whether the chain is counted as ready (it may stand in the line more than once; see `hurry`).
    ready: bool,
}

/// A direct verb's place in the chain of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gate(Slot);

/// Whoever waits for gates to open and is called back, by a number of the lane's.
pub(super) type Caller = u64;

/// The messages of one request, to be settled together. Their places stay theirs until then.
#[derive(Debug)]
pub(super) struct Batch {
    slots: Vec<Slot>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// How a message of a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The backend has it, or it was given up: it leaves the queue.
    Settled,
    /// It stays at the head of its chain and goes again.
    Again,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Order {
    items: Vec<Item>,
    free_items: Vec<Slot>,
    chains: Vec<Chain>,
    free_chains: Vec<Slot>,
    by_key: HashTable<Slot>,
    hasher: DefaultHashBuilder,
    ready: VecDeque<Slot>,
    ready_chains: usize,
    waiting: usize,
    in_flight: usize,
    /// When a message failed first; only of those that have.
    first_failures: HashMap<Slot, Duration>,
    repeated_keys: bool,
    /// Direct verbs of one key need not wait for each other. Where their work outlives an interrupted caller
    /// they must: it would overtake the next one.
    gates_open_together: bool,
    /// Whose gates have opened, once for each gate, in that order.
    called: Vec<Caller>,
}

impl Order {
    /// `repeated_keys`: whether the backend applies what it gets for one key in order. Then one request may carry
    /// several messages of one key, and direct verbs of one key may be on their way together.
    pub(super) fn new(repeated_keys: bool) -> Self {
        Self {
            items: Vec::new(),
            free_items: Vec::new(),
            chains: Vec::new(),
            free_chains: Vec::new(),
            by_key: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            ready: VecDeque::new(),
            ready_chains: 0,
            waiting: 0,
            in_flight: 0,
            first_failures: HashMap::new(),
            repeated_keys,
            gates_open_together: repeated_keys,
            called: Vec::new(),
        }
    }

    /// How many messages wait, those in flight not counted.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many messages are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many messages one request could take now.
    pub(super) fn sendable(&self) -> usize {
        match (self.ready_chains, self.repeated_keys) {
            (0, _) => 0,
            (_, true) => self.waiting,
            (ready, false) => ready,
        }
    }

    /// When the message at the head of the ready line was accepted.
    pub(super) fn oldest_ready(&mut self) -> Option<Duration> {
        while let Some(&chain) = self.ready.front() {
            if self.chains[chain as usize].ready {
                let head = self.chains[chain as usize].head;
                return self.message(head).map(|waiting| waiting.accepted);
            }
            self.ready.pop_front();
        }
        None
    }

    /// Puts a message at the end of its key's chain.
    pub(super) fn push(&mut self, waiting: Waiting) {
        let (hash, found) = self.find(waiting.message.key());
        let item = self.new_item(Entry::Message(waiting));
        let chain = self.append(hash, found, item);
        self.waiting += 1;
        self.make_ready(chain, false);
    }

    /// Puts a direct verb at the end of its key's chain. It may act once [`Self::is_open`].
    pub(super) fn gate(&mut self, key: &str) -> Gate {
        let (hash, found) = self.find(key);
        let open = found.is_none_or(|chain| {
            let chain = &self.chains[chain as usize];
            self.gates_open_together
                && chain.in_flight == 0
                && matches!(
                    self.items[chain.tail as usize].entry,
                    Entry::Gate {
                        open: true,
                        begun: true,
                        ..
                    }
                )
        });
        let item = self.new_item(Entry::Gate {
            key: key.into(),
            open,
            released: false,
            caller: None,
            begun: true,
        });
        self.append(hash, found, item);
        Gate(item)
    }

    /// Whether nothing older of its key is left before the gate.
    pub(super) fn is_open(&self, gate: Gate) -> bool {
        matches!(
            self.items[gate.0 as usize].entry,
            Entry::Gate { open: true, .. }
        )
    }

    /// The gate is `caller`'s, who is called when it opens, if it is not open, and says when what it is for has
    /// [begun](Self::begin).
    pub(super) fn call_back(&mut self, gate: Gate, caller: Caller) {
        if let Entry::Gate {
            caller: called,
            begun,
            ..
        } = &mut self.items[gate.0 as usize].entry
        {
            *called = Some(caller);
            *begun = false;
        }
    }

    /// What `caller` has the gate for has begun. The gate may be gone, and its place another's.
    pub(super) fn begin(&mut self, gate: Gate, caller: Caller) {
        let item = &mut self.items[gate.0 as usize];
        let chain = item.chain;
        if let Entry::Gate {
            caller: Some(called),
            begun,
            ..
        } = &mut item.entry
            && *called == caller
        {
            *begun = true;
            self.advance(chain);
        }
    }

    /// Whose gates have opened since this was asked last.
    pub(super) fn take_called(&mut self) -> Vec<Caller> {
        std::mem::take(&mut self.called)
    }

    /// Sends the chain of a waiting gate before all others.
    pub(super) fn hurry(&mut self, gate: Gate) {
        let chain = self.items[gate.0 as usize].chain;
        if self.chains[chain as usize].ready {
            // Its other place in the line is skipped when it is reached.
            self.ready.push_front(chain);
        }
    }

    /// The direct verb has ended, or has given up waiting; whether messages may be sent now that stood behind it.
    pub(super) fn release(&mut self, gate: Gate) -> bool {
        let ready = self.ready_chains;
        let chain = self.items[gate.0 as usize].chain;
        if let Entry::Gate { released, .. } = &mut self.items[gate.0 as usize].entry {
            *released = true;
        }
        self.advance(chain);
        self.ready_chains > ready
    }

    /// Takes up to `most` messages for one request, in the order of the line; none of a key in flight. Ends at the
    /// first that is not `wanted`, which is asked with when the message failed first.
    pub(super) fn take(
        &mut self,
        most: usize,
        messages: &mut Vec<Message>,
        wanted: impl Fn(&Waiting, Option<Duration>) -> bool,
    ) -> Batch {
        let mut slots = Vec::new();
        while slots.len() < most {
            let Some(chain_slot) = self.ready.pop_front() else {
                break;
            };
            if !self.chains[chain_slot as usize].ready {
                continue;
            }
            let wanted = |slot: Slot, waiting: &Waiting| {
                wanted(waiting, self.first_failures.get(&slot).copied())
            };
            let head = self.chains[chain_slot as usize].head;
            if !self
                .message(head)
                .is_some_and(|waiting| wanted(head, waiting))
            {
                self.ready.push_front(chain_slot);
                break;
            }
            self.chains[chain_slot as usize].ready = false;
            self.ready_chains -= 1;
            let mut next = head;
            while next != NIL && slots.len() < most {
                let item = &self.items[next as usize];
                let Entry::Message(waiting) = &item.entry else {
                    break;
                };
                if !wanted(next, waiting) {
                    break;
                }
                messages.push(waiting.message.clone());
                slots.push(next);
                next = item.next;
                self.chains[chain_slot as usize].in_flight += 1;
                if !self.repeated_keys {
                    break;
                }
            }
        }
        self.waiting -= slots.len();
        self.in_flight += slots.len();
        Batch { slots }
    }

    /// Shows each message of a batch that is on its way, with when it failed first.
    pub(super) fn look_at(
        &self,
        batch: &Batch,
        mut look: impl FnMut(usize, &Waiting, Option<Duration>),
    ) {
        for (at, &slot) in batch.slots.iter().enumerate() {
            if let Some(waiting) = self.message(slot) {
                look(at, waiting, self.first_failures.get(&slot).copied());
            }
        }
    }

    /// Settles a batch. `outcome` is asked for each message, in the order in which they were taken; what
    /// is settled is handed to `settled`.
    pub(super) fn settle(
        &mut self,
        Batch { slots }: Batch,
        mut outcome: impl FnMut(usize, &Waiting, Option<Duration>) -> Outcome,
        now: Duration,
        mut settled: impl FnMut(usize, Waiting),
    ) {
        self.in_flight -= slots.len();
        let mut again = Vec::new();
        let mut done = Vec::new();
        for (at, &slot) in slots.iter().enumerate() {
            let first_failure = self.first_failures.get(&slot).copied();
            let Some(waiting) = self.message(slot) else {
                continue;
            };
            match outcome(at, waiting, first_failure) {
                Outcome::Settled => done.push((at, slot)),
                Outcome::Again => {
                    self.first_failures.entry(slot).or_insert(now);
                    self.waiting += 1;
                    again.push(slot);
                }
            }
            let chain = self.items[slot as usize].chain;
            self.chains[chain as usize].in_flight -= 1;
        }
        // First all out, then on: a chain that goes on must not see a neighbour that is leaving too.
        let mut left = Vec::with_capacity(done.len());
        for (at, slot) in done {
            if !self.first_failures.is_empty() {
                self.first_failures.remove(&slot);
            }
            left.push(self.items[slot as usize].chain);
            if let Some(waiting) = self.unlink_message(slot) {
                settled(at, waiting);
            }
        }
        for chain in left {
            self.advance(chain);
        }
        // Backwards to the front of the line: what failed first goes again first.
        for slot in again.into_iter().rev() {
            let chain = self.items[slot as usize].chain;
            if self.chains[chain as usize].head == slot {
                self.make_ready(chain, true);
            }
        }
    }

    /// Takes out every message, waiting or in flight. Gates stay, and each message in flight leaves one behind:
    /// its batch must be [disowned](Self::disown) when it comes back, so that it overtakes nothing later.
    pub(super) fn take_out_all(&mut self) -> Vec<Waiting> {
        let mut all = Vec::with_capacity(self.waiting + self.in_flight);
        // In the order of the chains' keys in the line where there is one; order between keys is free.
        for chain in 0..self.chains.len() {
            let mut slot = self.chains[chain].head;
            let mut in_flight = std::mem::take(&mut self.chains[chain].in_flight);
            while slot != NIL {
                let next = self.items[slot as usize].next;
                if in_flight > 0 {
                    in_flight -= 1;
                    all.extend(self.leave_gate(slot));
                } else if let Some(waiting) = self.unlink_message(slot) {
                    all.push(waiting);
                }
                slot = next;
            }
            if self.chains[chain].head != NIL {
                if std::mem::take(&mut self.chains[chain].ready) {
                    self.ready_chains -= 1;
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "slots are counted in u32 by new_chain"
                )]
                self.advance(chain as Slot);
            }
        }
        self.first_failures.clear();
        self.waiting = 0;
        self.in_flight = 0;
        all.sort_by_key(|waiting| waiting.accepted);
        all
    }

    /// Takes a message out and leaves a gate in its place.
    fn leave_gate(&mut self, slot: Slot) -> Option<Waiting> {
        let gate = Entry::Gate {
            key: self.key(slot).into(),
            open: true,
            released: false,
            caller: None,
            begun: true,
        };
        match std::mem::replace(&mut self.items[slot as usize].entry, gate) {
            Entry::Message(waiting) => Some(waiting),
            other => {
                self.items[slot as usize].entry = other;
                None
            }
        }
    }

    /// A batch that was taken out has come back: what waits behind it may go.
    pub(super) fn disown(&mut self, batch: Batch) {
        for slot in batch.slots {
            self.release(Gate(slot));
        }
    }

    fn key(&self, slot: Slot) -> &str {
        match &self.items[slot as usize].entry {
            Entry::Message(waiting) => waiting.message.key(),
            Entry::Gate { key, .. } => key,
            Entry::Free => "",
        }
    }

    fn message(&self, slot: Slot) -> Option<&Waiting> {
        match &self.items[slot as usize].entry {
            Entry::Message(waiting) => Some(waiting),
            _ => None,
        }
    }

    fn find(&self, key: &str) -> (u64, Option<Slot>) {
        let hash = self.hasher.hash_one(key);
        let found = self.by_key.find(hash, |&chain| {
            let chain = &self.chains[chain as usize];
            chain.hash == hash && self.key(chain.head) == key
        });
        (hash, found.copied())
    }

    fn new_item(&mut self, entry: Entry) -> Slot {
        let item = Item {
            entry,
            next: NIL,
            chain: NIL,
        };
        if let Some(slot) = self.free_items.pop() {
            self.items[slot as usize] = item;
            return slot;
        }
        self.items.push(item);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "max_pending is at most u32::MAX"
        )]
        let slot = (self.items.len() - 1) as Slot;
        slot
    }

    fn new_chain(&mut self, hash: u64, item: Slot) -> Slot {
        let chain = Chain {
            hash,
            head: item,
            tail: item,
            in_flight: 0,
            ready: false,
        };
        let slot = if let Some(slot) = self.free_chains.pop() {
            self.chains[slot as usize] = chain;
            slot
        } else {
            self.chains.push(chain);
            #[expect(clippy::cast_possible_truncation, reason = "no more chains than items")]
            let slot = (self.chains.len() - 1) as Slot;
            slot
        };
        let chains = &self.chains;
        self.by_key
            .insert_unique(hash, slot, |&other| chains[other as usize].hash);
        slot
    }

    fn append(&mut self, hash: u64, chain: Option<Slot>, item: Slot) -> Slot {
        let chain = match chain {
            None => self.new_chain(hash, item),
            Some(chain) => {
                let tail = std::mem::replace(&mut self.chains[chain as usize].tail, item);
                self.items[tail as usize].next = item;
                chain
            }
        };
        self.items[item as usize].chain = chain;
        chain
    }

    /// Lets the chain stand in the line if its head is a message that is not in flight.
    fn make_ready(&mut self, slot: Slot, first: bool) {
        let chain = &self.chains[slot as usize];
        if chain.ready || chain.in_flight > 0 || self.message(chain.head).is_none() {
            return;
        }
        self.chains[slot as usize].ready = true;
        self.ready_chains += 1;
        if first {
            self.ready.push_front(slot);
        } else {
            self.ready.push_back(slot);
        }
    }

    /// Takes a message out of its chain, wherever it stands.
    fn unlink_message(&mut self, slot: Slot) -> Option<Waiting> {
        let entry = std::mem::replace(&mut self.items[slot as usize].entry, Entry::Free);
        let Entry::Message(waiting) = entry else {
            self.items[slot as usize].entry = entry;
            return None;
        };
        // Needed while the key must still be found: `advance` frees the place, unless it is the last.
        let chain_slot = self.items[slot as usize].chain;
        let chain = &self.chains[chain_slot as usize];
        if chain.head == slot && chain.tail == slot {
            self.remove_chain(chain_slot);
        } else if chain.head == slot {
            self.chains[chain_slot as usize].head = self.items[slot as usize].next;
        } else {
            let mut before = chain.head;
            while self.items[before as usize].next != slot {
                before = self.items[before as usize].next;
            }
            self.items[before as usize].next = self.items[slot as usize].next;
            if self.chains[chain_slot as usize].tail == slot {
                self.chains[chain_slot as usize].tail = before;
            }
        }
        self.free_items.push(slot);
        Some(waiting)
    }

    fn remove_chain(&mut self, slot: Slot) {
        let chain = &mut self.chains[slot as usize];
        if chain.ready {
            chain.ready = false;
            self.ready_chains -= 1;
        }
        chain.head = NIL;
        chain.tail = NIL;
        let hash = chain.hash;
        if let Ok(found) = self.by_key.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        self.free_chains.push(slot);
    }

    /// Drops released gates from the head, opens those that have come to it, and lets a message that has
    /// come to it stand in the line.
    fn advance(&mut self, chain_slot: Slot) {
        loop {
            let chain = &self.chains[chain_slot as usize];
            let head = chain.head;
            if head == NIL || chain.in_flight > 0 {
                return;
            }
            let Entry::Gate { released: true, .. } = self.items[head as usize].entry else {
                break;
            };
            if chain.tail == head {
                self.remove_chain(chain_slot);
            } else {
                self.chains[chain_slot as usize].head = self.items[head as usize].next;
            }
            self.items[head as usize].entry = Entry::Free;
            self.free_items.push(head);
        }
        let mut slot = self.chains[chain_slot as usize].head;
        while slot != NIL {
            let item = &mut self.items[slot as usize];
            let Entry::Gate {
                open,
                caller,
                begun,
                ..
            } = &mut item.entry
            else {
                break;
            };
            if !std::mem::replace(open, true) {
                self.called.extend(*caller);
            }
            slot = item.next;
            if !self.gates_open_together || !*begun {
                break;
            }
        }
        self.make_ready(chain_slot, false);
    }
}
