"""Events of stories as sentences, and what a person may do next. Pure; not yet cleaned."""

from folkmoot.cli import words
from folkmoot.cli.codes import Code
from folkmoot.cli.stories.values import Story, StoryState, Task
from folkmoot.cli.text import line
from folkmoot.kernel.events import Event
from folkmoot.kernel.facts import (
    PlanApproved,
    PlanRejected,
    StepFailed,
    StoryAccepted,
    StoryAssessed,
    StoryCancelled,
    StoryCarriedOver,
    StoryPlanned,
    StoryRevised,
    StorySentBack,
    StorySubmitted,
    TaskContinued,
    TaskDecided,
    TaskReleased,
)


def sentence(event: Event, name: str = "") -> str:
    """One line about an event of a story or of a task; empty for those that only machines care about.

    `name` is the plan's for the task that a story's event is about.
    """
    match event.data:
        case StorySubmitted() as fact:
            return f"{fact.actor} submits: {line(fact.title, 120)}"
        case StoryAssessed() as fact:
            return _assessed(fact)
        case StoryRevised(actor=actor, reason=reason, gating=gating):
            back = f", with {words.several(len(gating), 'test')} of base gating again" if gating else ""
            return f"{actor} revises it{back}{_because(reason)}"
        case StepFailed(step=step, reason=reason):
            return f"{step} failed: {line(reason)}"
        case TaskReleased(spec=spec):
            return f"{name or spec.task_id} is released: {line(spec.title, 120)}"
        case TaskContinued() as fact:
            return f"{name or fact.continues} goes on as {fact.task_id}, with the candidates of {fact.continues}"
        case TaskDecided() as fact:
            commit = f" as {fact.commit[:12]}" if fact.commit else ""
            return f"{name or fact.task_id} {fact.state}{commit}{_because(fact.reason)}"
        case StoryPlanned() | PlanApproved() | PlanRejected():
            return _of_plan(event)
        case _:
            return _last(event)


def _of_plan(event: Event) -> str:
    match event.data:
        case StoryPlanned() as fact:
            return _planned(fact)
        case PlanApproved(automatic=True):
            return "the plan is approved automatically: the story was submitted with autopilot"
        case PlanApproved(actor=actor, reason=reason) as fact:
            tests = words.several(len(fact.superseded), "test")
            without = f", with {tests} of base superseded" if fact.superseded else ""
            return f"{actor} approves the plan{without}{_because(reason)}"
        case PlanRejected(actor=actor, reason=reason):
            return f"{actor} rejects the plan{_because(reason)}"
        case _:
            return ""


def _last(event: Event) -> str:
    match event.data:
        case StoryAccepted(actor=actor, reason=reason):
            return f"{actor} accepts the result{_because(reason)}"
        case StorySentBack(actor=actor, reason=reason):
            return f"{actor} sends it back{_because(reason)}"
        case StoryCarriedOver(actor=actor, into=into, reason=reason):
            return f"{actor} carries it over into {into}{_because(reason)}"
        case StoryCancelled(actor=actor, reason=reason):
            return f"{actor} calls it off{_because(reason)}"
        case _:
            return words.sentence(event)


def _because(reason: str) -> str:
    return f": {line(reason)}" if reason.strip() else ""


def _assessed(fact: StoryAssessed) -> str:
    found = fact.assessment
    asks = f", {words.several(len(found.questions), 'question')}" if found.questions else ""
    asks += f", {words.several(len(found.superseded), 'test')} of base to supersede" if found.superseded else ""
    enough = "" if found.score >= fact.threshold else ", too little to plan it"
    return f"assessed: {found.score} of at least {fact.threshold}{enough}{asks}{_because(found.summary)}"


def _planned(fact: StoryPlanned) -> str:
    by = f" by {fact.actor}" if fact.actor else ""
    if fact.plan is None or len(fact.plan.tasks) != len(fact.tasks):
        return f"planned ({fact.how}){by}: {words.several(len(fact.tasks), 'task')}"
    return f"planned ({fact.how}){by}: " + ", ".join(t.name for t in fact.plan.tasks)


# --- where it stands ---------------------------------------------------------------------------------------------


def standing(story: Story) -> str:
    """Where it stands, in one sentence."""
    if story.problem and not story.state.ended:
        return f"Stopped: {line(story.problem, 600)}"
    match story.state:
        case StoryState.ASSESSED if story.unclear and story.assessment:
            return f"Too unclear to plan: the coach gives {story.assessment.score}, {story.threshold} are needed."
        case StoryState.PLANNED if not story.autopilot:
            return "Planned: the plan waits for approval."
        case StoryState.DECIDED if story.result_commit:
            return f"Decided: the result is {story.result_commit[:12]}; it waits for your word."
        case StoryState.DECIDED if story.result_task_id:
            return f"Decided: the result is the document of task {story.result_task_id}; it waits for your word."
        case StoryState.DECIDED:
            return "Decided: not every task ended with a commit."
        case StoryState.CARRIED_OVER:
            return f"Carried over into {story.carried_into}."
        case StoryState.ACCEPTED | StoryState.SENT_BACK | StoryState.CANCELLED:
            return f"{story.state.words.capitalize()}{_because(story.reason)}."
        case _:
            return f"Under way: {story.state.words}."


def next_steps(story: Story, tasks: tuple[Task, ...] = ()) -> list[tuple[str, str]]:
    """Commands to try, each with what it does. `tasks`: as far as they are known."""
    name = story.story_id
    match story.state:
        case StoryState.ASSESSED if story.unclear:
            return [(f"moot story revise {name} --text-file FILE", "answer the questions; it is assessed anew")]
        case StoryState.SUBMITTED if story.problem:
            return [(f"moot story assess {name}", "ask again")]
        case StoryState.ASSESSED if story.problem:
            return [(f"moot plan derive {name}", "ask again")]
        case StoryState.PLANNED:
            return _on_a_plan(story)
        case StoryState.DECIDED | StoryState.SENT_BACK | StoryState.ACCEPTED:
            return [*_on_an_abstention(story, tasks), *_on_a_result(story)]
        case StoryState.CARRIED_OVER:
            return [(f"moot story watch {story.carried_into}", "follow the story that goes on with it")]
        case StoryState.CANCELLED:
            return [(f"moot log {name}", "what happened")]
        case StoryState.UNREADABLE:
            return [(f"moot story show {name}", "the error by itself")]
        case _:
            return [(f"moot story watch {name}", "follow it")]


def _on_a_plan(story: Story) -> list[tuple[str, str]]:
    name, this = story.story_id, f" --revision {story.revision}" if story.revision else ""
    return [
        (f"moot plan show {name}", "the tasks, whole"),
        (f"moot plan approve {name}{this}", "release them"),
        *(
            [(f"moot plan approve {name}{this} --superseded-as-proposed", "and let those tests of base gate nothing")]
            if story.proposed
            else []
        ),
        (f"moot plan edit {name}", "change them in your editor"),
        (f"moot plan reject {name}{this} --reason TEXT", "have another plan made"),
    ]


def _on_an_abstention(story: Story, tasks: tuple[Task, ...]) -> list[tuple[str, str]]:
    """The first task that came to no decision: what waits for it goes on with the one that continues it."""
    name = next((t.task_id for t in tasks if t.outcome == "abstained"), "")
    if story.state is not StoryState.DECIDED or not name:
        return []
    return [
        (f"moot result {name}", "why it came to no decision, and what would settle it"),
        (f"moot continue {name} --check CMD", "judge its candidates anew, with a check; the story goes on with it"),
    ]


def _on_a_result(story: Story) -> list[tuple[str, str]]:
    name, steps = story.story_id, []
    this = f" --round {story.round}" if story.round else ""
    if story.result_commit:
        steps.append((f"moot diff {name}", "what its last task changed"))
    elif story.result_task_id:
        steps.append((f"moot result {name}", "the document"))
    if story.state is StoryState.DECIDED:
        if _has_result(story):
            steps.append((f"moot story approve {name}{this}", "accept it"))
        steps.append((f"moot story send-back {name}{this} --reason TEXT", "say what is wrong"))
    if story.state is StoryState.SENT_BACK:
        steps.append((f"moot story revise {name} --text-file FILE", "say it better"))
        steps.append((f"moot plan derive {name}", "have it planned anew, with your reason"))
    if story.state is not StoryState.ACCEPTED and not _has_result(story):
        steps.append((f"moot story carry-over {name}", "go on with it in another story"))
    if story.result_commit and story.state is not StoryState.SENT_BACK:
        steps.append((f"moot apply {name}", "take all of it as a branch; your files stay as they are"))
    return [*steps, (f"moot log {name}", "what happened")]


def _has_result(story: Story) -> bool:
    """A commit, or a document of the task that it names."""
    return bool(story.result_commit or story.result_task_id)


_WORST = {"failed": Code.FAILED, "abstained": Code.ABSTAINED, "cancelled": Code.CANCELLED}


def code_of(story: Story, tasks: tuple[Task, ...]) -> Code:
    """Decided with a result, or still on its way: done. Without one, the worst that a task ended with."""
    if story.state is StoryState.CANCELLED:
        return Code.CANCELLED
    if story.problem and not story.state.ended:
        return Code.FAILED
    if story.state is not StoryState.DECIDED or _has_result(story):
        return Code.DONE
    outcomes = {t.outcome for t in tasks}
    return next((code for outcome, code in _WORST.items() if outcome in outcomes), Code.FAILED)
