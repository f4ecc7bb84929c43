"""What stands behind ``**kwargs``, for type checkers and editors; loaded only by those.

A ``**kwargs: Any`` would let a misspelt argument pass them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG, TaskGroup, XComArg

Callbacks = Callable[[Any], None] | list[Callable[[Any], None]] | None


class AirflowArguments(TypedDict, total=False):
    """Of BaseOperator, in Airflow 2.11 and later."""

    task_id: Required[str]
    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: bool | float
    max_retry_delay: timedelta | float | None
    retry_policy: Any
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: Any
    queue: str
    pool: str | None
    pool_slots: int
    sla: timedelta | None
    execution_timeout: timedelta | None
    on_execute_callback: Callbacks
    on_failure_callback: Callbacks
    on_success_callback: Callbacks
    on_retry_callback: Callbacks
    on_skipped_callback: Callbacks
    pre_execute: Callable[[Any], None] | None
    post_execute: Callable[[Any, Any], None] | None
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: Any
    outlets: Any
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class SensorArguments(AirflowArguments, total=False):
    """Of BaseSensorOperator."""

    poke_interval: timedelta | float
    timeout: timedelta | float
    soft_fail: bool
    mode: Literal["poke", "reschedule"]
    exponential_backoff: bool
    max_wait: timedelta | float | None
    silent_fail: bool
    never_fail: bool


class CreateArguments(AirflowArguments, total=False):
    """Of CreateTaskOperator: what the operators take beside the request."""

    mps_conn_id: str | XComArg
    cos_region: str | XComArg | None
    wait_for_completion: bool
    deferrable: bool
    poll_interval: float | timedelta
    wait_timeout: float | timedelta | None
    room_timeout: float | timedelta | None
    durable: bool
    retry_ambiguous_create: bool
    max_poll_failures: int
    end_from_trigger: bool


class TaskSensorArguments(SensorArguments, total=False):
    """Of TaskSensor."""

    mps_task_id: Required[str | XComArg]
    mps_conn_id: str | XComArg
    deferrable: bool
    max_poll_failures: int
    start_from_trigger: bool
    end_from_trigger: bool


class AudioFields(TypedDict, total=False):
    """Of the hook's ``create_aigc_audio_task``: the fields of CreateAigcAudioTaskOperator."""

    model_name: str | None
    model_version: str | None
    scene_type: str | None
    prompt: str | None
    video_infos: Sequence[str | Mapping[str, Any]] | str | None
    audio_infos: Sequence[str | Mapping[str, Any]] | str | None
    output_audio_format: str | None
    store_cos_param: Mapping[str, Any] | None
    extra_parameters: Mapping[str, Any] | None
    additional_parameters: Mapping[str, Any] | str | None
    mps_operator: str | None
