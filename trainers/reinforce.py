"""REINFORCE with a learned value baseline. Williams 1992; the learner of Lee et al., RLAIF, arXiv 2309.00267, appendix."""

from functools import partial

from torch import Tensor

from actors.critic import Critic
from actors.forward import Floats, tensor
from actors.policy import Policy, Seen
from trainers.progress import update_figures
from trainers.roles import Roles
from trainers.rollouts import Sampler, pretraining, score
from trainers.run import Run
from truing.algorithms.advantages import rewards_to_go
from truing.algorithms.kl import ESTIMATORS, FixedKl, token_rewards
from truing.algorithms.losses import entropy_bonus, policy_gradient
from truing.config.kl import Kl
from truing.config.policy import Policy as Settings
from truing.config.policy import Reinforce


def credit(
    total: float | None, old: Floats, reference: Floats, values: Floats, beta: float, kl: Kl, discount: float
) -> tuple[Floats, Floats] | None:
    """Advantages and value targets of one completion; None where it is left out.

    r_t = -β log π(y_t)/π_ref(y_t), and the sequence's reward at its last token
    G_t = Σ_{u ≥ t} γ^{u-t} r_u          what the baseline V_t learns to foresee
    A_t = G_t - V_t
    """
    if total is None:
        return None
    divergence = ESTIMATORS[kl.estimator](tensor(old), tensor(reference))
    returns = rewards_to_go(token_rewards(total, divergence, beta, kl.objective), discount)
    return (returns - tensor(values)).numpy(), returns.numpy()


def loss(seen: Seen, *, entropy: float) -> Tensor:
    """-Σ w·A·π/π_old - c·H: one update a batch, so that the ratio is 1 and the gradient -Σ A·∇log π."""
    surrogate = policy_gradient(seen.logprobs, seen.old, seen.advantages, seen.weights)
    return surrogate - entropy_bonus(seen.entropy, entropy)


def train(run: Run, roles: Roles, sampler: Sampler, kl: FixedKl, settings: Settings) -> None:
    """Sample, score, credit, update, report."""
    algorithm = settings.algorithm
    assert isinstance(algorithm, Reinforce)
    assert roles.critic is not None
    for step in run.steps(settings.steps):
        # 1. Sample: the engines take the current weights, then answer the next prompts.
        drawn = sampler.draw(run, step)

        # 2. Score: reward graph, reference, policy and critic read the same rollouts at the same time.
        scored = score(run, roles, drawn, settings)

        # 3. Credit: plain maths on floats.
        beta = kl.beta
        rows = zip(scored.totals, scored.old, scored.reference, scored.values, strict=True)
        credited = [
            [credit(*one, beta, settings.kl, algorithm.discount) for one in zip(*row, strict=True)] for row in rows
        ]
        advantages = [[c and c[0] for c in group] for group in credited]
        targets = [[c and c[1] for c in group] for group in credited]

        # 4. Update: one step of policy and baseline, side by side.
        whole = [0] * drawn.prompts
        with run.time("update"):
            fitting = roles.critic.scatter(
                Critic.update, scored.samples, scored.values, targets, whole, minibatches=1, clip=algorithm.value_clip
            )
            columns = (scored.samples, scored.old, scored.reference, advantages, whole)
            stats = roles.policy.scatter(
                Policy.update, *columns, minibatches=1, loss=partial(loss, entropy=settings.entropy),
                importance_cap=settings.importance_cap,
                    pretraining=pretraining(drawn, settings),
            ).get()  # fmt: skip
            value_loss = fitting.get()[0]

        # 5. Report.
        figures = scored.figures() | update_figures(stats) | {"value_loss": value_loss}
        kl.observe(figures["kl"], drawn.prompts * algorithm.completions)
        run.report(version=step, checksum=drawn.checksum, probe_gap=drawn.probe_gap, beta=beta, **figures)
