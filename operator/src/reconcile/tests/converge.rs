//! Whatever goes wrong at any one write, the operator comes to the same end and is quiet then: scenarios of changes, each
//! run once without a fault and then once for every write and every fault. A lost event is none: it only keeps a pipeline at
//! rest from a whole look until the rest is over. And operators with a planted mistake, each of
//! which must be seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::faults::Fault;
use super::mistakes::{Mistake, Operator};
use super::scenarios::{Deed, SCENARIOS, Scenario};
use super::world::{ACCOUNT, INFLIGHT, PIPELINE, World};
use crate::error::Error;
use crate::reconcile::{on_error, reconcile};

/// Reconciles within which all must be quiet.
const SETTLES_WITHIN: usize = 80;
/// Reconciles without a write after which it is.
const QUIET: usize = 3;
/// Reconciles with a stale resource.
const STALE_LOOKS: usize = 2;

/// A run of a scenario.
struct Run {
    world: World,
    /// The resource as it was in the last reconcile, in the first of this run, and in the first of all.
    last: Option<Value>,
    earliest: Option<Value>,
    first: Value,
    stale: usize,
    restarted: bool,
    over: bool,
}

impl Run {
    fn new(scenario: &Scenario, mistake: Option<Mistake>) -> Self {
        let world = World::with(Operator::with(mistake), &(scenario.spec)());
        let first = world.server.lock().objects[PIPELINE].clone();
        Self { world, last: None, earliest: None, first, stale: 0, restarted: false, over: false }
    }

    /// Goes on from where another run was quiet, with an operator that has just started.
    fn from(quiet: &Self) -> Self {
        let mut world = World::with(Operator::with(quiet.world.operator.mistake), &json!({}));
        {
            let (mut new, old) = (world.server.lock(), quiet.world.server.lock());
            new.objects.clone_from(&old.objects);
            new.version = old.version;
        }
        world.kafka.topics.lock().clone_from(&quiet.world.kafka.topics.lock());
        world.kafka.committed.lock().clone_from(&quiet.world.kafka.committed.lock());
        world.operator = quiet.world.operator.clone();
        world.restart_operator();
        Self {
            world,
            last: quiet.last.clone(),
            earliest: None,
            first: quiet.first.clone(),
            stale: 0,
            restarted: false,
            over: false,
        }
    }

    /// The deeds, with a fault at one write; what there is whenever all is quiet and how many writes it took, or what was
    /// wrong.
    async fn through(
        mut self,
        deeds: &[Deed],
        fault: Option<(usize, Fault)>,
    ) -> Result<(Value, usize), String> {
        let before = self.world.interposer.writes();
        if let Some((after, fault)) = fault {
            self.world.interposer.plan(after, fault);
        }
        let mut ends = vec![self.end()];
        for deed in deeds {
            deed(&self.world);
            self.settle().await?;
            ends.push(self.end());
        }
        if deeds.is_empty() {
            self.settle().await?;
        }
        let (end, writes) = (self.end(), self.world.interposer.writes());
        if fault.is_none() {
            self.old_leader(&end).await?;
        }
        self.restart();
        let quiet = self.world.interposer.writes();
        self.settle().await?;
        let more = self.world.interposer.writes() - quiet;
        if more > 0 {
            return Err(format!("{more} writes of an operator that starts when all is done"));
        }
        ends.push(end);
        Ok((json!(ends), writes - before))
    }

    /// An operator that has lost its lease and does not know it looks once more at what there was in the beginning.
    async fn old_leader(&mut self, end: &Value) -> Result<(), String> {
        let seen = std::mem::take(&mut self.earliest);
        if !self.world.server.lock().objects.contains_key(PIPELINE) {
            return Ok(());
        }
        (self.last, self.stale) = (seen, 1);
        self.look().await?;
        self.settle().await?;
        match difference(end, &self.end(), "") {
            Some(wrong) => Err(format!("after an old leader's look: {wrong}")),
            None => Ok(()),
        }
    }

    fn restart(&mut self) {
        self.world.restart_operator();
        self.world.interposer.revive();
        self.restarted = true;
        if self.world.operator.starts_with_a_broom() {
            self.world.server.lock().delete(ACCOUNT);
        }
    }

    /// Reconciles until nothing is written any more.
    async fn settle(&mut self) -> Result<(), String> {
        let mut quiet = 0;
        for _ in 0..SETTLES_WITHIN {
            self.world.pods_come_and_go();
            self.world.time_passes();
            if self.first["spec"]["upgrade"].is_object() {
                // The shortest time that a spec of these scenarios names.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let before = self.world.interposer.writes();
            self.look().await?;
            self.begins_where_it_should()?;
            quiet = if self.world.interposer.writes() == before { quiet + 1 } else { 0 };
            if quiet == QUIET {
                return self.hides_nothing().await;
            }
        }
        Err(format!("still writes after {SETTLES_WITHIN} reconciles"))
    }

    /// What light looks take for being at rest is left alone by a whole one.
    async fn hides_nothing(&mut self) -> Result<(), String> {
        self.world.rest_is_over();
        let before = self.world.interposer.writes();
        self.look().await?;
        match self.world.interposer.writes() - before {
            0 => Ok(()),
            more => Err(format!("{more} writes that light looks have left undone")),
        }
    }

    /// The pods of the intake, where it does not begin with the first record, are never there before that is committed.
    fn begins_where_it_should(&self) -> Result<(), String> {
        let server = self.world.server.lock();
        let start = server
            .objects
            .get(PIPELINE)
            .and_then(|found| found["spec"]["topics"]["incoming"].get("startFrom"));
        if start.is_some()
            && server.objects.contains_key(INFLIGHT)
            && self.world.kafka.committed.lock().is_empty()
        {
            return Err("the intake begins by itself".to_owned());
        }
        Ok(())
    }

    /// One reconcile, as far as the operator lives.
    async fn look(&mut self) -> Result<(), String> {
        if self.world.interposer.take_stale() {
            self.stale = STALE_LOOKS;
        }
        self.world.watches_tell();
        let live = self.world.server.lock().objects.get(PIPELINE).cloned();
        let mut taken = match (&live, self.stale, &self.last) {
            (_, 1.., Some(last)) => {
                self.stale -= 1;
                last.clone()
            }
            (Some(live), ..) => live.clone(),
            (None, ..) => return Ok(()),
        };
        self.last = Some(taken.clone());
        self.earliest.get_or_insert_with(|| taken.clone());
        if self.over {
            return Ok(());
        }
        self.world.operator.takes(&mut taken, &self.first, self.restarted);
        let resource = Arc::new(serde_json::from_value(taken).map_err(|error| error.to_string())?);
        let context = Arc::clone(&self.world.context);
        let outcome = tokio::select! {
            outcome = reconcile(Arc::clone(&resource), Arc::clone(&context)) => Some(outcome),
            () = self.world.interposer.death() => None,
        };
        match outcome {
            _ if self.world.interposer.is_dead() => self.restart(),
            None => return Err("nobody has died".to_owned()),
            Some(Err(error)) => {
                self.over = self.world.operator.gives_up(matches!(error, Error::Conflict));
                on_error(resource, &error, context);
            }
            Some(Ok(action)) => {
                let goes = live.is_none_or(|live| live["metadata"].get("deletionTimestamp").is_some());
                if action == Action::await_change()
                    && !goes
                    && self.world.server.lock().objects.contains_key(PIPELINE)
                {
                    return Err("waits for an event, which may be lost".to_owned());
                }
            }
        }
        Ok(())
    }

    /// All that there is, without what differs from run to run.
    fn end(&self) -> Value {
        let server = self.world.server.lock();
        let objects: BTreeMap<&String, Value> = server
            .objects
            .iter()
            .map(|(path, object)| {
                let mut object = object.clone();
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.retain(|field, _| !["resourceVersion", "generation"].contains(&field.as_str()));
                }
                if path != PIPELINE {
                    object.as_object_mut().map(|object| object.remove("status"));
                }
                timeless(&mut object);
                (path, object)
            })
            .collect();
        let topics: BTreeMap<String, String> = self
            .world
            .kafka
            .topics
            .lock()
            .iter()
            .map(|(name, state)| (name.clone(), format!("{state:?}")))
            .collect();
        json!({"objects": objects, "topics": topics, "committed": *self.world.kafka.committed.lock()})
    }
}

/// Takes the times out.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(timeless),
        Value::Array(items) => items.iter_mut().for_each(timeless),
        Value::String(text) if text.parse::<Timestamp>().is_ok() => *value = json!("a time"),
        _ => {}
    }
}

/// Where two values differ first.
fn difference(one: &Value, other: &Value, at: &str) -> Option<String> {
    if let (Value::Object(one), Value::Object(other)) = (one, other) {
        let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
        return keys.into_iter().find_map(|key| {
            let value = |of: &serde_json::Map<String, Value>| of.get(key).cloned().unwrap_or_default();
            difference(&value(one), &value(other), &format!("{at}.{key}"))
        });
    }
    if let (Value::Array(one), Value::Array(other)) = (one, other)
        && one.len() == other.len()
    {
        let mut pairs = one.iter().zip(other).enumerate();
        return pairs.find_map(|(number, (one, other))| difference(one, other, &format!("{at}[{number}]")));
    }
    (one != other).then(|| format!("{at}: {one} and {other}"))
}

/// Where the runs of a scenario begin.
async fn beginning(scenario: &Scenario, mistake: Option<Mistake>) -> Result<Run, String> {
    let mut run = Run::new(scenario, mistake);
    if !scenario.deeds.is_empty() {
        run.settle().await?;
    }
    Ok(run)
}

/// A scenario's run without a fault, or with every one at every write: how many there were, and the first that went wrong.
async fn explore(
    scenario: &Scenario,
    right: &(Value, usize),
    mistake: Option<Mistake>,
    with_faults: bool,
) -> (usize, Option<String>) {
    let told =
        |fault: Option<(usize, Fault)>, wrong: &str| Some(format!("{}, {fault:?}: {wrong}", scenario.name));
    let beginning = match beginning(scenario, mistake).await {
        Ok(beginning) => beginning,
        Err(wrong) => return (1, told(None, &wrong)),
    };
    let every = (0..right.1).flat_map(|after| Fault::ALL.map(|fault| Some((after, fault))));
    let faults: Vec<Option<(usize, Fault)>> = if with_faults { every.collect() } else { vec![None] };
    for (number, fault) in faults.iter().enumerate() {
        let outcome = Run::from(&beginning).through(scenario.deeds, *fault).await;
        if let Some(wrong) = outcome.map_or_else(Some, |(end, _)| difference(&right.0, &end, "")) {
            return (number + 1, told(*fault, &wrong));
        }
    }
    (faults.len(), None)
}

/// What the right operator comes to without a fault, by scenario.
async fn rights() -> Vec<(&'static Scenario, (Value, usize))> {
    let mut rights = Vec::new();
    for scenario in SCENARIOS {
        let right = async { beginning(scenario, None).await?.through(scenario.deeds, None).await };
        rights.push((scenario, right.await.unwrap_or_else(|wrong| panic!("{}: {wrong}", scenario.name))));
    }
    rights
}

#[tokio::test]
async fn whatever_goes_wrong_at_a_write_the_end_is_the_same_and_quiet() {
    let (mut cases, mut told) = (0, String::new());
    for (scenario, right) in rights().await {
        for with_faults in [false, true] {
            let (explored, wrong) = explore(scenario, &right, None, with_faults).await;
            assert_eq!(wrong, None);
            cases += explored;
        }
        let _ = writeln!(told, "{:>3} writes: {}", right.1, scenario.name);
    }
    println!("{told}{cases} cases");
    assert!(cases > 500, "{cases}");
}

#[tokio::test]
async fn every_planted_mistake_is_seen() {
    let rights = rights().await;
    for mistake in Mistake::ALL {
        let (mut cases, mut seen) = (0, None);
        // Most are seen without any fault.
        for (with_faults, (scenario, right)) in
            [false, true].into_iter().flat_map(|with| rights.iter().map(move |right| (with, right)))
        {
            let (explored, wrong) = explore(scenario, right, Some(mistake), with_faults).await;
            cases += explored;
            seen = wrong;
            if seen.is_some() {
                break;
            }
        }
        let seen = seen.unwrap_or_else(|| panic!("{mistake:?} was not seen in {cases} cases"));
        println!("{mistake:?} is seen after {cases} cases: {}", seen.chars().take(160).collect::<String>());
    }
}
