"""Ragas' metrics that a model judges: faithfulness, answer relevancy, context precision and recall, a rubric of style.

A judge that is down, slow or answers nonsense leaves its metrics out, each with the reason; it breaks no evaluation and
decides nothing: a rule of the gate whose figure is missing is said not to have been applied.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twin_assets.core.errors import EndpointAnswerError, EndpointError
from twin_assets.core.evaluation.report import Answer, JudgeUsage

if TYPE_CHECKING:
    from twin_assets.core.chat_endpoint import ChatEndpoint
    from twin_assets.core.embedding import Embedder
    from twin_assets.settings import Settings

OF_TEXTS = ("faithfulness", "answer_relevancy", "style_rubric")
OF_RETRIEVAL = ("context_precision", "context_recall")
JUDGED = (*OF_TEXTS, *OF_RETRIEVAL)
NO_JUDGE = "no judge endpoint is configured (TWIN_JUDGE_URL)"
NOT_JUDGED = "judged for only"
AT_ONCE = 4
ANSWER_TOKENS = 2_000
# Below this share of the texts a mean says more about the judge than about the model.
LEAST_SHARE = 0.5
STYLE_RUBRIC = {
    "score1_description": "Another person wrote this: sentence length, words, punctuation and stance all differ.",
    "score2_description": "Mostly unlike the reference's author; a habit or two agrees.",
    "score3_description": "A generic writer's version: the register agrees, the author's own habits are missing.",
    "score4_description": "Close to the reference's author in rhythm, words and stance, with a slip or two.",
    "score5_description": "Could be by the author of the reference: rhythm, words, punctuation and stance agree.",
}


@dataclass
class Judgement:
    """values: by system (or "retrieval") and metric the value of each text by sample id; left_out: metric to reason."""

    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    usage: JudgeUsage | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """One figure to ask for."""

    system: str
    metric: str
    sample_id: str
    score: Callable[[], Coroutine[Any, Any, Any]]
    scale: tuple[float, float] = (0.0, 1.0)


def judge(
    settings: "Settings",
    embedder: "Embedder",
    answers: Mapping[str, Sequence[Answer]],
    contexts: Mapping[str, Sequence[str]],
) -> Judgement:
    """Ask the judge that is set about all answers; what it could not say is left out, with the reason.

    answers: by system; contexts: the passages each sample's systems were given, by sample id.
    """
    if settings.judge_url is None:
        return Judgement(left_out=dict.fromkeys(JUDGED, NO_JUDGE))
    from twin_assets.core.chat_endpoint import ChatEndpoint

    key = settings.judge_key.get_secret_value() if settings.judge_key else None
    with ChatEndpoint(
        settings.judge_url, settings.judge_model, key, timeout=settings.judge_timeout, attempts=3, re_asks=1
    ) as endpoint:
        asked = _Asked(endpoint, time.monotonic() + 60 * settings.judge_minutes)
        tasks = _tasks(asked, embedder, answers, contexts)
        found = asyncio.run(_ask_all(asked, tasks))
    judgement = _gathered(tasks, found, asked)
    for metric in ("faithfulness", *OF_RETRIEVAL):
        if not any(contexts.values()):
            judgement.left_out[metric] = "nothing was retrieved for any of the texts"
    judgement.usage = asked.report(settings)
    return judgement


class _Asked:
    """The endpoint, what it took, and why no more is asked of it."""

    def __init__(self, endpoint: "ChatEndpoint", deadline: float) -> None:
        from twin_assets.core.chat_endpoint import Usage

        self.endpoint, self.deadline = endpoint, deadline
        self.usage: Usage = Usage()
        self.started = time.monotonic()
        self.stopped = ""

    def answer(self, prompt: str, schema: type[Any]) -> Any:
        """An object of the schema; raises EndpointError."""
        if not self.stopped and time.monotonic() > self.deadline:
            self.stopped = "the judge was too slow: the time for it (TWIN_JUDGE_MINUTES) was over"
        if self.stopped:
            raise EndpointError(self.stopped)
        try:
            answer = self.endpoint.complete([{"role": "user", "content": prompt}], schema, ANSWER_TOKENS)
        except EndpointAnswerError as error:
            self.usage += error.usage  # type: ignore[operator]
            raise
        except EndpointError as error:
            # It has been asked several times already; each of the others would wait as long for the same.
            self.stopped = self.stopped or str(error)
            raise
        self.usage += answer.usage
        return answer.value

    def report(self, settings: "Settings") -> JudgeUsage:
        """What was used, with its cost where prices are set."""
        prices = settings.judge_input_price, settings.judge_output_price
        cost = self.usage.cost(*prices) if any(prices) else None
        return JudgeUsage(
            model=self.endpoint.model, requests=self.usage.requests, input_tokens=self.usage.input_tokens,
            output_tokens=self.usage.output_tokens, seconds=time.monotonic() - self.started, cost=cost,
        )  # fmt: skip


def _tasks(
    asked: _Asked,
    embedder: "Embedder",
    answers: Mapping[str, Sequence[Answer]],
    contexts: Mapping[str, Sequence[str]],
) -> list[_Task]:
    metrics = _metrics(asked, embedder)
    tasks = []
    for system, texts in answers.items():
        for each in filter(lambda answer: answer.text.strip(), texts):
            given = list(contexts.get(each.sample_id, ()))
            question: dict[str, Any] = {"user_input": each.instruction, "response": each.text}
            wanted: dict[str, dict[str, Any]] = {
                "answer_relevancy": question,
                "style_rubric": question | {"reference": each.target},
            }
            if given:
                wanted["faithfulness"] = question | {"retrieved_contexts": given}
            for metric, values in wanted.items():
                scale = (1.0, 5.0) if metric == "style_rubric" else (0.0, 1.0)
                tasks.append(_Task(system, metric, each.sample_id, _scoring(metrics[metric], values), scale))
    # What was retrieved is the same for every system.
    for each in next(iter(answers.values()), ()):
        given = list(contexts.get(each.sample_id, ()))
        values = {"user_input": each.instruction, "retrieved_contexts": given, "reference": each.target}
        for metric in OF_RETRIEVAL if given else ():
            tasks.append(_Task("retrieval", metric, each.sample_id, _scoring(metrics[metric], values)))
    return tasks


def _scoring(metric: Any, values: Mapping[str, Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    return lambda: metric.ascore(**values)


async def _ask_all(asked: _Asked, tasks: Sequence[_Task]) -> list[float | str]:
    """A value for each task, or why there is none."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(task: _Task) -> float | str:
        async with free:
            try:
                value = float((await task.score()).value)
            except EndpointError as error:
                return str(error)
            except (ValueError, TypeError, ZeroDivisionError) as error:
                return f"the judge's answer could not be scored ({type(error).__name__})"
        # Ragas takes whatever number the judge writes.
        if math.isnan(value) or not task.scale[0] <= round(value, 6) <= task.scale[1]:
            return f"the judge's answer lies outside the scale of {task.scale[0]:g} to {task.scale[1]:g}"
        return value

    return list(await asyncio.gather(*map(one, tasks)))


def _gathered(tasks: Sequence[_Task], found: Sequence[float | str], asked: _Asked) -> Judgement:
    judgement = Judgement()
    for metric in JUDGED:
        own = [(task, value) for task, value in zip(tasks, found, strict=True) if task.metric == metric]
        for system in dict.fromkeys(task.system for task, _ in own):
            of_system = [(task, value) for task, value in own if task.system == system]
            values = {task.sample_id: value for task, value in of_system if isinstance(value, float)}
            if of_system and len(values) >= max(1, LEAST_SHARE * len(of_system)):
                judgement.values.setdefault(system, {})[metric] = values
                continue
            why = asked.stopped or next(value for _, value in of_system if isinstance(value, str))
            name = metric if system in ("candidate", "retrieval") else f"{system}_{metric}"
            judgement.left_out[name] = f"{NOT_JUDGED} {len(values)} of {len(of_system)} texts: {why}"
        if not own:
            judgement.left_out[metric] = "there was no text to judge"
    return judgement


def _metrics(asked: _Asked, embedder: "Embedder") -> dict[str, Any]:
    import os

    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    from ragas.llms.base import InstructorBaseRagasLLM
    from ragas.metrics.collections import (
        AnswerRelevancy,
        ContextPrecisionWithReference,
        ContextRecall,
        DomainSpecificRubrics,
        Faithfulness,
    )

    from twin_assets.core.evaluation.similarity import ragas_embedding

    class OurJudge(InstructorBaseRagasLLM):  # type: ignore[misc]
        """Ragas' interface to the project's endpoint, which asks again for what does not fit."""

        def generate(self, prompt: str, response_model: type[Any]) -> Any:
            """An object of the model."""
            return asked.answer(prompt, response_model)

        async def agenerate(self, prompt: str, response_model: type[Any]) -> Any:
            """An object of the model, in a thread, so that several are asked at once."""
            return await asyncio.to_thread(asked.answer, prompt, response_model)

    llm = OurJudge()
    return {
        "faithfulness": Faithfulness(llm=llm),
        "answer_relevancy": AnswerRelevancy(llm=llm, embeddings=ragas_embedding(embedder)),
        "style_rubric": DomainSpecificRubrics(llm=llm, rubrics=STYLE_RUBRIC, with_reference=True),
        "context_precision": ContextPrecisionWithReference(llm=llm),
        "context_recall": ContextRecall(llm=llm),
    }
