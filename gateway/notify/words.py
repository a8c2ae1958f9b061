"""The words of mails, by language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """By kind of notification: subjects and texts. `steps`: what comes next, by its kind."""

    account: str
    next: str
    amounts: dict[str, str]
    steps: dict[str, str]
    subjects: dict[str, str]
    texts: dict[str, str]


WORDS: Final = {
    "en": Words(
        account="Account",
        next="Unless you top up",
        amounts={"balance": "Balance", "debt": "Owed", "threshold": "Your threshold"},
        steps={
            "suspended": "requests are refused from then on",
            "destroyed": "instances and configuration are removed for good",
        },
        subjects={
            "balance_alert": "the balance is below your threshold",
            "arrears": "the balance is below zero",
            "suspended": "the account is suspended",
            "resumed": "the account is active again",
            "destroyed": "the account's instances are destroyed",
            "reopened": "the account is open again",
        },
        texts={
            "balance_alert": "Less is available than the threshold you set. Top up to be safe from arrears.",
            "arrears": "More was used than was paid for. Service goes on for 24 hours; top up within them to keep it.",
            "suspended": "The balance was below zero for more than 24 hours: requests are refused, and nothing is "
            "billed. Top up within 7 days and service resumes by itself; after that the configuration is removed.",
            "resumed": "Nothing is owed any more. Requests are served.",
            "destroyed": "The account was suspended for more than 7 days: its instances and their configuration are "
            "gone. Bills and debts stay.",
            "reopened": "Nothing is owed any more. What was configured before is gone: instances and services are to "
            "be made anew.",
        },
    ),
    "zh": Words(
        account="账户",
        next="若未充值",
        amounts={"balance": "余额", "debt": "欠费金额", "threshold": "您设定的预警阈值"},
        steps={"suspended": "届时 API 将被停止调用", "destroyed": "届时实例与 API 配置将被清理且不可恢复"},
        subjects={
            "balance_alert": "余额低于您设定的预警阈值",
            "arrears": "账户已欠费",
            "suspended": "服务已暂停",
            "resumed": "服务已恢复",
            "destroyed": "实例已销毁",
            "reopened": "账户已重新开启",
        },
        texts={
            "balance_alert": "可用余额低于您设定的预警阈值。请及时充值，以免欠费。",
            "arrears": "账户余额小于 0。欠费后 24 小时内服务可继续使用，请在此期间内充值。",
            "suspended": "账户欠费已超过 24 小时，API 已停止调用，停服期间不计费。7 天内充值后服务自动开启；"
            "超过 7 天将清理您的 API 配置信息。",
            "resumed": "账户已无欠费，服务正常。",
            "destroyed": "服务暂停已超过 7 天，实例及其 API 配置已被清理。账单与欠费仍保留。",
            "reopened": "账户已无欠费。此前的配置已被清理，请重新创建实例与服务。",
        },
    ),
}
