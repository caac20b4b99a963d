"""Who does the work and on what: models, engines, learner ranks, the cluster."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from truing.config.base import Section

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(description="Factor of this part in the reward, which is a weighted sum.")]


class Model(Section):
    """A causal language model in Hugging Face form."""

    path: str = "demo"
    """`demo` (the model that `make` prepares), a local folder, or a Hub name."""
    revision: str | None = None
    """Hub revision, for a run that can be repeated."""
    context: Positive = 512
    """Tokens of prompt and response together."""


class Engine(Section):
    """vLLM engines of one role."""

    count: Positive = 1
    """Engines of this role that are started, and waited for, at first."""
    max_count: Positive | None = None
    """Most engines; `count` where absent. An offline pass adds some while others wait. In reinforcement learning those that
    have loaded join between two steps."""
    cpus: Positive = 2
    """CPUs (and threads) of one engine."""
    gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs of one engine; 0 runs on the CPU."""
    tensor_parallel: Positive = 1
    """Processes over which each layer is split, for a model that is too large for one GPU (vLLM's tensor parallelism). On GPUs
    each has a whole one: `gpus` is then the same number. Not for `policy.engine`, which takes new weights."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Weights and activations."""
    cache_gb: Annotated[float, Field(gt=0)] = 1.0
    """KV cache of a CPU engine, in GiB."""
    gpu_memory_share: Annotated[float, Field(gt=0, le=1)] = 0.85
    """Share of a GPU that an engine may take. Not used on the CPU."""
    max_sequences: Positive = 64
    """Sequences decoded at the same time."""
    batch_tokens: Positive = 4096
    """Most tokens of one engine step; at least the context."""
    eager: bool = True
    """Skip graph capture: loads in seconds on the CPU; set false for long runs on a GPU."""
    prefix_caching: bool = True
    """Keep the keys and values of shared prefixes. Without it a labeler is several times slower."""
    batch: Positive = 64
    """Rows handed to an engine in one call of an offline pass."""

    @model_validator(mode="after")
    def _a_gpu_each(self) -> "Engine":
        several = max(self.gpus, self.tensor_parallel) > 1
        if self.gpus and several and self.gpus != self.tensor_parallel:
            raise ValueError(
                f"gpus is {self.gpus:g} and tensor_parallel {self.tensor_parallel}: an engine uses one GPU for each part of a"
                " layer; give both the same number"
            )
        return self


class Lora(Section):
    """Low-rank adapters on every linear layer but the LM head; all else is frozen (Hu et al., arXiv 2106.09685)."""

    rank: Positive = 16
    """r: width of an adapter."""
    alpha: Positive = 32
    """The adapter's product is scaled by alpha / rank."""
    push: Literal["merged", "adapter"] = "merged"
    """What the rollout engines get: the whole model with the adapters merged in, or the adapters alone, which is less to move and
    costs the engine a second product in each layer."""


class Learner(Section):
    """DeepSpeed ZeRO ranks that train one network."""

    ranks: Positive = 1
    """Processes that share the optimizer state."""
    cpus: Positive = 2
    """CPUs (and threads) of one rank."""
    gpus: Annotated[float, Field(ge=0, le=1)] = 0
    """Share of a GPU of one rank; 0 trains on the CPU with gloo."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """0 shards nothing, 1 the optimizer state, 2 the gradients too, 3 the parameters too."""
    offload: bool = False
    """Keep the optimizer state, and with stage 3 the parameters, in the host's memory. For learners on GPUs."""
    gradient_checkpointing: bool = False
    """Keep the input of each layer alone and compute the rest again in the backward pass: less memory, more time."""
    lora: Lora | None = None
    """Train low-rank adapters instead of all weights. Engines and exports get the merged weights."""
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """Autocast type of the forward pass. Master weights are float32."""
    token_budget: Positive = 2048
    """Most tokens, padding included, in one micro-batch."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    """Peak learning rate of AdamW."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Updates over which the rate rises linearly; afterwards it is constant."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay of AdamW."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this global norm."""

    @model_validator(mode="after")
    def _offload_from_gpu(self) -> "Learner":
        if self.offload and not self.gpus:
            raise ValueError("offload moves a GPU's state to the host, and gpus is 0: leave offload out")
        if self.offload and self.zero_stage == 0:
            raise ValueError("offload needs a sharded optimizer: set zero_stage to 1, 2 or 3")
        return self

    @model_validator(mode="after")
    def _ranks_apart(self) -> "Learner":
        if self.ranks > 1 and 0 < self.gpus <= 0.5:
            raise ValueError(
                f"gpus {self.gpus:g} lets two ranks share a GPU, and NCCL has one rank a GPU: give gpus above 0.5, or ranks: 1"
            )
        return self


Route = Literal["object_store", "native"]
"""Ways of weights to the engines."""


class Push(Section):
    """How new weights get from a learner to the rollout engines."""

    route: Route | None = None
    """`object_store`: Ray's. `native`: rank 0 broadcasts to vLLM's weight-transfer API, over NCCL between whole GPUs, over gloo
    between CPUs. Absent: native where learner and engines have whole GPUs and the whole model is pushed, else the object store."""
    bucket_gb: Annotated[float, Field(gt=0)] = 1.0
    """Weights that travel to the engines at once; two such buckets are held beside the models."""

    def chosen(self, learner: Learner, engine: Engine) -> Route:
        """The way that these two take.

        Raises:
            ValueError: it is not open to them.
        """
        adapters = learner.lora is not None and learner.lora.push == "adapter"
        whole = learner.gpus >= 1 and engine.gpus >= 1
        if self.route == "native" and adapters:
            raise ValueError(
                "push.route native pushes whole models: give learner.lora.push merged, or route object_store"
            )
        if self.route == "native" and not whole and (learner.gpus or engine.gpus):
            raise ValueError(
                f"push.route native goes between whole GPUs, or CPUs, and learner.gpus is {learner.gpus:g} and engine.gpus"
                f" {engine.gpus:g}: give both 1, both 0, or route object_store"
            )
        return self.route or ("native" if whole and not adapters else "object_store")


class Scorer(Section):
    """Stateless forward-pass actors: reward model and reference."""

    count: Positive = 1
    """Actors of this role."""
    cpus: Positive = 2
    """CPUs (and threads) of one actor."""
    gpus: Annotated[float, Field(ge=0, le=1)] = 0
    """Share of a GPU of one actor."""
    token_budget: Positive = 2048
    """Most tokens, padding included, in one forward pass."""


NodeRole = Literal["learner", "rollout", "labeler", "scorer"]
"""Kinds of actors by what they need of a node: DeepSpeed ranks; engines that sample; engines that judge; forward passes of
references and reward models."""


class Cluster(Section):
    """Where Ray is, and how long to wait for it."""

    address: str | None = None
    """Address of a running Ray cluster (`auto`: the one of this machine). Without it that of RAY_ADDRESS, which Ray sets in
    a job; without either, this run starts a local cluster for itself."""
    colocate: bool = True
    """Roles of one stage take turns on the same CPUs. False reserves CPUs for each role."""
    nodes: Mapping[NodeRole, str] = Field(default_factory=dict[NodeRole, str])
    """Ray resource of which each actor of a role takes one unit, so that it goes to nodes that have it: `{labeler: labeler}`
    with cluster.yaml. A role that is not named goes anywhere."""
    memory: Mapping[NodeRole, Annotated[float, Field(gt=0)]] = Field(default_factory=dict[NodeRole, float])
    """GiB of a node's memory that Ray sets aside for each actor of a role: actors go where there is so much left. It is a
    reservation, not a limit: nothing holds an actor to it. A role that is not named reserves none."""
    autoscaling: str | None = None
    """File with the kinds of nodes that an autoscaler may add: the launcher's (on its head `~/ray_bootstrap_config.yaml`) or
    KubeRay's manifest. Without it what is there is all there is, and a role that finds no room within 30 s is an error."""
    prices: Mapping[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict[str, float])
    """What a node of each kind costs an hour, in any one currency: `{learner: 4.6, rollout: 0.9}`. A kind is named as in the
    file of `autoscaling`; without one, by the resources that are the node's own, else by its CPUs and GPUs (`2 CPUs`)."""
    budget: Annotated[float, Field(gt=0)] | None = None
    """Most that the nodes of one run may cost while it works, in the currency of `prices`, over all calls of the command. The
    job then ends in order. Every kind of node must have a price."""
    start_deadline: Positive = 600
    """Seconds an actor may take to load."""
    call_deadline: Positive = 1800
    """Seconds one call of an actor, or one collective, may take."""
    restarts: Annotated[int, Field(ge=0)] = 2
    """Times a stateless actor (labeler, reward model, reference) is started again after it died."""
    mends: Annotated[int, Field(ge=0)] = 3
    """Times a training stage starts lost learners and rollout engines anew and goes on, before it gives up."""
    mirror_every: Positive = 60
    """Seconds between two uploads of what is new in the run, where `storage` is a URI: the most that is lost with the head node."""
