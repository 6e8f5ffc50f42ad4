//! Kubernetes Events, each an object of its own. Only I/O.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};

/// Writes Events in the operator's name.
pub struct Events {
    client: Client,
    reporter: Reporter,
}

impl Events {
    /// By this client, in the name of this reporter.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        Self { client, reporter }
    }

    /// Writes an Event about an object. A recorder that remembers would count it to one of the same reason, which keeps the
    /// note of the first: the epoch of another phase, or another step of an upgrade. Ours come with changes of a status only,
    /// so there are few of a kind.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> Result<(), kube::Error> {
        Recorder::new(self.client.clone(), self.reporter.clone()).publish(event, about).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::{Request, Response};
    use kube::client::Body;
    use kube::runtime::events::EventType;
    use parking_lot::Mutex;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn events_of_one_reason_keep_their_own_notes() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let server = Arc::clone(&written);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                let (parts, body) = request.into_parts();
                let event: Value = serde_json::from_slice(&body.collect_bytes().await?).expect("JSON");
                server.lock().push((parts.method.to_string(), event["note"].as_str().map(str::to_owned)));
                let body = Body::from(event.to_string().into_bytes());
                Ok::<_, kube::Error>(Response::builder().status(201).body(body).expect("a response"))
            }
        });
        let reporter = Reporter { controller: "kpay-operator".into(), instance: None };
        let events = Events::new(Client::new(service, "default"), reporter);
        let about = ObjectReference { name: Some("payments".into()), ..ObjectReference::default() };
        let notes = ["Running → Draining, epoch 3", "Running → Draining, epoch 7"];
        for note in notes {
            let event = Event {
                type_: EventType::Normal,
                reason: "DrainRequested".into(),
                note: Some(note.into()),
                action: "Draining".into(),
                secondary: None,
            };
            events.publish(&event, &about).await.expect("written");
        }
        assert_eq!(*written.lock(), notes.map(|note| ("POST".to_owned(), Some(note.to_owned()))));
    }
}
