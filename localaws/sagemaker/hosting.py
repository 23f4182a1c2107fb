"""What serves the endpoints: brings fleets up, moves traffic between them, takes them down.

An endpoint's document says what is meant to be (`_Live`: the plan that serves, `_Pending`: the one that is
being brought up); this module makes it so, a thread a change, and after a restart takes up from the document.
"""

from __future__ import annotations

import logging
import random
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from localaws.documents import Document
from localaws.sagemaker.alarm_watch import in_alarm
from localaws.sagemaker.capture import CaptureOptions, CaptureWriter
from localaws.sagemaker.fleets import Fleet, FleetError, FleetPlan
from localaws.sagemaker.invocation_metrics import InvocationMetrics
from localaws.sagemaker.operations import now, public
from localaws.sagemaker.service import SageMakerService
from localaws.sagemaker.tags import drop_tags, get_tags
from localaws.sagemaker.traffic import TrafficPlan, traffic_plan

log = logging.getLogger(__name__)

KIND = "Endpoint"
STATE_CHANGE = "SageMaker Endpoint State Change"
_WATCH_SECONDS = 0.5


@dataclass
class Hosted:
    """An endpoint that takes requests.

    Attributes:
        routes: fleets with their share of the traffic; replaced whole, so that a reader sees one state.
        capture: where its requests and answers are kept.
    """

    name: str
    routes: tuple[tuple[Fleet, float], ...]
    capture: CaptureWriter | None = None

    def choose(self) -> Fleet:
        if len(self.routes) == 1:
            return self.routes[0][0]
        fleets, shares = zip(*self.routes, strict=True)
        return random.choices(fleets, shares)[0]  # noqa: S311

    def is_served_by(self, fleet: Fleet) -> bool:
        return any(each is fleet for each, _ in self.routes)


@dataclass
class Hosting:
    """All endpoints of a service."""

    service: SageMakerService
    closing: bool = False
    _hosted: dict[str, Hosted] = field(default_factory=dict)
    _rising: set[Fleet] = field(default_factory=set)
    _threads: set[threading.Thread] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _metrics: InvocationMetrics | None = None

    @property
    def metrics(self) -> InvocationMetrics:
        with self._lock:
            if self._metrics is None:
                self._metrics = InvocationMetrics(self.service.stack.client("cloudwatch"))
            return self._metrics

    def get(self, name: str) -> Hosted | None:
        return self._hosted.get(name)

    def create(self, name: str) -> None:
        self._spawn(self._create, name)

    def update(self, name: str) -> None:
        self._spawn(self._update, name)

    def rescale(self, name: str, counts: dict[str, int]) -> None:
        self._spawn(self._rescale, name, counts)

    def delete(self, name: str) -> None:
        self._spawn(self._delete, name)

    def resume(self) -> None:
        """Takes up what an earlier process left."""
        documents = self.service.store.list(KIND)
        self._sweep({document["EndpointName"]: document for document in documents})
        for document in documents:
            name, status = document["EndpointName"], document["EndpointStatus"]
            if status == "Deleting":
                self.delete(name)
            elif document.get("_Live"):
                self._spawn(self._bring_back, name)
            elif status == "Creating":
                self.create(name)

    def close(self) -> None:
        """Writes what was captured, ends all servers; the documents stay as they are for the next start."""
        self.closing = True
        with self._lock:
            hosted, rising = list(self._hosted.values()), list(self._rising)
            threads = list(self._threads)
        for endpoint in hosted:
            if endpoint.capture:
                endpoint.capture.close()
        fleets = {*rising, *(fleet for endpoint in hosted for fleet, _ in endpoint.routes)}
        if fleets:
            with ThreadPoolExecutor(len(fleets)) as pool:
                list(pool.map(lambda fleet: fleet.stop(keep_folder=True), fleets))
        for thread in threads:
            thread.join()
        if self._metrics:
            self._metrics.close()

    # --- one change of one endpoint, each in its own thread ---

    def _create(self, name: str) -> None:
        document = self._document(name)
        pending = document["_Pending"]
        fleet = self._fleet(name, pending)
        try:
            self._raise_fleet(fleet)
        except FleetError as error:
            if not self.closing:
                fleet.stop()
                self.set_status(name, "Failed", FailureReason=str(error), _Pending=None)
            return
        self._host(name, fleet, pending)
        self.set_status(name, "InService", **_live_members(pending))

    def _update(self, name: str) -> None:
        """Blue/green: the old fleet serves until the new one is ready, which takes over step by step."""
        pending = self._document(name)["_Pending"]
        fleet = self._fleet(name, pending)
        old = self._hosted[name]
        try:
            self._raise_fleet(fleet)
            self._shift_traffic(old, fleet, pending)
        except FleetError as error:
            if not self.closing:
                self.set_status(name, "RollingBack", FailureReason=str(error))
                self._hosted[name] = old
                fleet.stop(drain=True)
                self.set_status(name, "InService", _Pending=None)
            return
        if self.closing:
            return
        self._host(name, fleet, pending)
        self.set_status(name, "InService", FailureReason=None, **_live_members(pending))
        self._retire(old)

    def _shift_traffic(self, old: Hosted, fleet: Fleet, pending: Document) -> None:
        """Gives the new fleet its shares of the traffic and bakes each. Raises FleetError on an alarm."""
        instances = min(variant["instances"] for variant in pending["plan"]["variants"])
        plan = traffic_plan(pending.get("deployment_config"), instances)
        since = datetime.now(UTC)
        self._watch(plan, 0, since)  # an alarm that is raised already lets nothing through
        for share in plan.shares:
            if self.closing:
                return
            routes = tuple((each, part * (1 - share)) for each, part in old.routes)
            self._hosted[old.name] = Hosted(old.name, (*routes, (fleet, share)), old.capture)
            self._watch(plan, plan.interval if share < 1 else plan.termination_wait, since)

    def _watch(self, plan: TrafficPlan, seconds: float, since: datetime) -> None:
        deadline = time.monotonic() + seconds
        while True:
            alarms = in_alarm(self.service.stack.client("cloudwatch"), list(plan.alarms), since)
            if alarms:
                raise FleetError(f"The deployment was rolled back: alarm {', '.join(alarms)} is in ALARM.")
            left = deadline - time.monotonic()
            if left <= 0 or self.closing:
                return
            time.sleep(min(left, _WATCH_SECONDS))

    def _rescale(self, name: str, counts: dict[str, int]) -> None:
        fleet = self._hosted[name].routes[0][0]
        try:
            fleet.resize(counts)
        except FleetError as error:
            if not self.closing:
                self.set_status(name, "InService", FailureReason=str(error))
        else:
            self.set_status(name, "InService", FailureReason=None)

    def _bring_back(self, name: str) -> None:
        """Serves again what was served before the restart, then takes up the update that was going on."""
        document = self._document(name)
        fleet = self._fleet(name, document["_Live"])
        self._host(name, fleet, document["_Live"])  # at once: requests wait for its servers
        try:
            self._raise_fleet(fleet)
        except FleetError as error:
            if not self.closing:
                self._hosted.pop(name)
                fleet.stop()
                reason = f"The endpoint did not come up again after the local AWS was restarted: {error}"
                self.set_status(name, "Failed", FailureReason=reason, _Live=None, _Pending=None)
            return
        if document["EndpointStatus"] == "RollingBack":  # the update had failed
            self.set_status(name, "InService", _Pending=None)
        elif document.get("_Pending"):
            self._update(name)
        elif document["EndpointStatus"] != "InService":
            self.set_status(name, "InService")

    def _delete(self, name: str) -> None:
        hosted = self._hosted.pop(name, None)
        if hosted:
            self._retire(hosted)
        shutil.rmtree(self.service.stack.root / "endpoints" / name, ignore_errors=True)
        document = self._document(name)
        drop_tags(self.service, document["EndpointArn"])
        self.service.store.delete(KIND, name)

    # --- what these share ---

    def set_status(self, name: str, status: str, **members: Any) -> Document:
        """Writes the endpoint's new state and tells EventBridge."""

        def change(document: Document) -> None:
            document.update(members, EndpointStatus=status, LastModifiedTime=now())

        document = self.service.store.update(KIND, name, change)
        announce(self.service, document)
        return document

    def _document(self, name: str) -> Document:
        document = self.service.store.get(KIND, name)
        assert document is not None, name
        return document

    def _fleet(self, name: str, deployment: Document) -> Fleet:
        return Fleet(self.service.stack, name, FleetPlan.from_document(deployment["plan"]))

    def _raise_fleet(self, fleet: Fleet) -> None:
        with self._lock:
            self._rising.add(fleet)
        try:
            fleet.start()
            fleet.wait_until_ready()
        finally:
            with self._lock:
                self._rising.discard(fleet)

    def _host(self, name: str, fleet: Fleet, deployment: Document) -> None:
        options = CaptureOptions.from_config(deployment["capture"])
        role = fleet.plan.variants[0].role  # SageMaker writes what it captures as the model
        writer = CaptureWriter(self.service.stack.client("s3", role), name, options) if options else None
        with self._lock:
            self._hosted[name] = Hosted(name, ((fleet, 1.0),), writer)

    def _retire(self, hosted: Hosted) -> None:
        for fleet, _ in hosted.routes:
            fleet.stop(drain=True)
        if hosted.capture:
            hosted.capture.close()

    def _sweep(self, documents: dict[str, Document]) -> None:
        """Removes the folders of fleets that no document names any more."""
        for folder in self.service.stack.folder("endpoints").iterdir():
            document = documents.get(folder.name, {})
            known = {
                deployment["plan"]["key"]
                for deployment in (document.get("_Live"), document.get("_Pending"))
                if deployment
            }
            for fleet in folder.iterdir():
                if fleet.name not in known:
                    shutil.rmtree(fleet, ignore_errors=True)

    def _spawn(self, work: Callable[..., None], name: str, *arguments: Any) -> None:
        def run() -> None:
            try:
                work(name, *arguments)
            except Exception:  # a thread's end must not be silent
                log.exception("Endpoint %s", name)
                if not self.closing and self.service.store.get(KIND, name):
                    self.set_status(name, "Failed", FailureReason="Internal failure: see the server log.")
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name=f"endpoint {name}", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()


_HOSTINGS: WeakKeyDictionary[SageMakerService, Hosting] = WeakKeyDictionary()


def hosting_of(service: SageMakerService) -> Hosting:
    return _HOSTINGS.setdefault(service, Hosting(service))


def announce(service: SageMakerService, document: Document) -> None:
    """EventBridge hears of an endpoint's status in capitals: IN_SERVICE, and its times in milliseconds."""
    status = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", document["EndpointStatus"]).upper()
    detail = public(document) | {
        "EndpointStatus": status,
        "CreationTime": round(document["CreationTime"] * 1000),
        "LastModifiedTime": round(document["LastModifiedTime"] * 1000),
        "Tags": {tag["Key"]: tag["Value"] for tag in get_tags(service, document["EndpointArn"])},
    }
    service.emit(STATE_CHANGE, [document["EndpointArn"]], detail)


def _live_members(pending: Document) -> Document:
    """What changes in an endpoint's document when the pending deployment becomes the live one."""
    return {
        "_Live": pending,
        "_Pending": None,
        "EndpointConfigName": pending["plan"]["config"],
        "LastDeploymentConfig": pending.get("deployment_config"),
    }
