"""PPO on its own: advantages by hand, the sign of learning, masks, and probabilities that are probabilities."""

from dataclasses import replace

import pytest
import torch

from graph.build import build_graph
from graph.snapshot import Snapshot
from mutator.edit import Edit
from policy.draw import draw_without_replacement, open_stream
from policy.insight import Insight
from policy.kernel import Kernel
from policy.learn import Step, block, estimate_advantages, improve, renormalise, roll_out, scale_advantages
from policy.memory import Memory
from policy.network import EditNetwork, collate
from policy.observe import Observation, observe
from policy.options import open_options
from policy.protocol import Scene
from policy.testing import Program

torch.set_num_threads(1)  # sums depend on it

ARMS = (Edit("scale-literal", "a:/literal.lr", (("by", 2.0),)), Edit("flip-flag", "a:/literal.bias"))
MANY = tuple(
    Edit(kind, f"a:/literal.{name}", (("by", factor),))
    for kind, name in (("scale-literal", "lr"), ("scale-literal", "dropout"), ("set-literal", "lr"))
    for factor in (0.5, 2.0, 4.0)
)
GRAPH = build_graph(Snapshot({"a.py": b"lr = 0.1\ndropout = 0.2\nbias = True\n"}))


def look(edits: tuple[Edit, ...]) -> Observation:
    program = Program(0, (), GRAPH, tuple(edits))
    scene = Scene(program, (program,), 1, 20)
    options = open_options(Insight(Kernel()), scene)
    assert options is not None
    equal = replace(options, mean=0 * options.mean, deviation=1 + 0 * options.deviation)
    return observe(scene, equal, Memory())


@pytest.fixture
def network() -> EditNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return EditNetwork(temperature=1.0)


def probabilities(network: EditNetwork, observation: Observation) -> list[float]:
    with torch.no_grad():
        return network.decide(collate([observation]))[0][0].exp().tolist()


def play(network: EditNetwork, *, sign: float = 1.0, turned: bool = False, n_updates: int = 40) -> tuple[float, float]:
    """Pull two arms that pay sign and -sign; return the first arm's probability before and after."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    observation = look(ARMS)
    before = probabilities(network, observation)
    steps = []
    for number in range(n_updates):
        now = probabilities(network, observation)
        (arm,) = draw_without_replacement(torch.tensor(now).log().tolist(), 1, open_stream(0, "arm", number))
        log_prob = float(torch.tensor(now[arm]).log())
        steps.append(Step(observation, arm, (), log_prob, sign if arm == 0 else -sign))
        rollout = roll_out(network, steps[-32:], observation, centre=0.0)
        improve(network, optimizer, replace(rollout, advantages=-rollout.advantages) if turned else rollout)
    return before[0], probabilities(network, observation)[0]


def test_the_arm_that_pays_becomes_likelier(network):
    before, after = play(network)
    assert before == pytest.approx(0.5, abs=0.05)
    assert after > 0.75


def test_with_the_rewards_turned_it_becomes_rarer(network):
    assert play(network, sign=-1.0)[1] < 0.25


def test_with_the_sign_of_the_advantage_turned_the_arm_that_pays_becomes_rarer(network):
    assert play(network, turned=True)[1] < 0.25  # the negative control of the first of these tests


@pytest.mark.parametrize(("reward", "rises"), [(1.0, True), (-1.0, False)])
def test_one_trial_alone_teaches(network, reward, rises):
    observation = look(ARMS)
    before = probabilities(network, observation)
    step = Step(observation, 0, (), float(torch.tensor(before[0]).log()), reward)
    improve(network, torch.optim.Adam(network.parameters(), lr=1e-3), roll_out(network, [step], None, centre=0.0))
    assert (probabilities(network, observation)[0] > before[0]) is rises


def test_advantages_are_those_computed_by_hand():
    rewards, values = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.5, 1.0, 0.0, 4.0])
    # errors 1 + 0.5 - 0.5 = 1, 0 + 0 - 1 = -1, 2 + 2 - 0 = 4; each adds 0.5 * 0.5 of the next advantage
    found = estimate_advantages(rewards, values, gamma=0.5, lam=0.5)
    assert found.tolist() == [1.0, 0.0, 4.0]


def test_advantages_need_one_more_value_than_rewards():
    with pytest.raises(ValueError, match="2 values for 2 rewards"):
        estimate_advantages(torch.zeros(2), torch.zeros(2), gamma=1.0, lam=1.0)


@pytest.mark.parametrize("advantages", [[3.0], [-3.0], [2.0, 2.0], [1.0, -1.0, 5.0]])
def test_scaled_advantages_have_a_size_of_one_and_keep_their_signs(advantages):
    raw = torch.tensor(advantages)
    scaled = scale_advantages(raw)
    assert float(scaled.square().mean()) == pytest.approx(1.0)
    assert torch.equal(scaled.sign(), raw.sign())


def test_advantages_of_zero_stay_zero():
    assert scale_advantages(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_the_probabilities_of_all_options_sum_to_one_also_beside_a_longer_scene(network):
    log_probs, _ = network.decide(collate([look(MANY), look(ARMS)]))
    assert log_probs.exp().sum(-1).tolist() == pytest.approx([1.0, 1.0])
    assert log_probs[1, len(ARMS) :].exp().tolist() == [0.0] * (len(MANY) - len(ARMS))
    assert log_probs[1, : len(ARMS)].exp().tolist() == pytest.approx(probabilities(network, look(ARMS)), abs=1e-5)


def test_an_option_is_kind_then_site_then_choice(network):
    observation = look(MANY)
    with torch.no_grad():
        heads, _ = network.heads(collate([observation]))
    kind, site, choice = heads.kind[0], heads.site[0], heads.choice[0] + observation.log_prior
    found = probabilities(network, observation)
    for i, edit in enumerate(MANY):
        of_kind = [j for j, other in enumerate(MANY) if other.kind == edit.kind]
        of_site = [j for j in of_kind if MANY[j].site == edit.site]
        at_site = torch.logsumexp(choice[of_site], 0)
        at_kind = torch.logsumexp((site + choice)[of_kind], 0)
        everywhere = torch.logsumexp(kind + site + choice, 0)
        p_kind, p_site, p_choice = kind[i] + at_kind - everywhere, site[i] + at_site - at_kind, choice[i] - at_site
        assert float((p_kind + p_site + p_choice).exp()) == pytest.approx(found[i], rel=1e-4)


def test_what_was_picked_before_cannot_be_picked_again():
    log_probs = torch.tensor([0.5, 0.3, 0.2]).log().expand(2, 3)
    left = renormalise(log_probs, block((2, 3), [(), (0,)])).exp()
    assert left[0].tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert left[1].tolist() == pytest.approx([0.0, 0.6, 0.4])


def test_drawing_without_replacement_follows_the_weights():
    weights = torch.tensor([0.6, 0.3, 0.1]).log().tolist()
    drawn = [draw_without_replacement(weights, 2, open_stream(0, "draw", number)) for number in range(2000)]
    first = [sum(pair[0] == i for pair in drawn) / len(drawn) for i in range(3)]
    second = sum(pair[1] == 1 for pair in drawn if pair[0] == 0) / sum(pair[0] == 0 for pair in drawn)
    assert first == pytest.approx([0.6, 0.3, 0.1], abs=0.04)
    assert second == pytest.approx(0.75, abs=0.05)
