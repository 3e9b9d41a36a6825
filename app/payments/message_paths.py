"""Where the values of a credit transfer message (pain.001) stand, for all versions that are read, as one tree.

Paths without a remark are those of pain.001.001.03 and its German variant .003.03; .02 and .09 differ in a few places.
Source: the ISO 20022 message definitions.
"""

from collections.abc import Mapping

_GROUP_PATHS = {
    "MsgId": "message_id",
    "CreDtTm": "created_at",
    "NbOfTxs": "count",
    "CtrlSum": "sum",
    "BtchBookg": "batch_booking",  # .02
    "InitgPty/Nm": "initiating_party",
}
_PURPOSE_PATHS = {
    "PmtTpInf/CtgyPurp": "purpose",  # .02
    "PmtTpInf/CtgyPurp/Cd": "purpose",
    "PmtTpInf/CtgyPurp/Prtry": "purpose",
}
_INSTRUCTION_PATHS = _PURPOSE_PATHS | {
    "PmtInfId": "id",
    "PmtMtd": "method",
    "BtchBookg": "batch_booking",
    "NbOfTxs": "count",
    "CtrlSum": "sum",
    "ReqdExctnDt": "date",
    "ReqdExctnDt/Dt": "date",  # .09
    "ReqdExctnDt/DtTm": "moment",  # .09
    "Dbtr/Nm": "debtor_name",
    "DbtrAcct/Id/IBAN": "debtor_account",
    "DbtrAcct/Id/Othr/Id": "debtor_account",
    "DbtrAcct/Id/BBAN": "debtor_account",  # .02
    "DbtrAcct/Id/PrtryAcct/Id": "debtor_account",  # .02
    "DbtrAgt/FinInstnId/BIC": "debtor_bic",
    "DbtrAgt/FinInstnId/BICFI": "debtor_bic",  # .09
}
# An account that is no IBAN is kept in the IBAN's place, so that the line shows up as wrong and not as empty.
_TRANSFER_PATHS = _PURPOSE_PATHS | {
    "PmtId/EndToEndId": "end_to_end_id",
    "Amt/InstdAmt": "amount",
    "CdtrAgt/FinInstnId/BIC": "creditor_bic",
    "CdtrAgt/FinInstnId/BICFI": "creditor_bic",  # .09
    "Cdtr/Nm": "creditor_name",
    "CdtrAcct/Id/IBAN": "creditor_account",
    "CdtrAcct/Id/Othr/Id": "creditor_account",
    "CdtrAcct/Id/BBAN": "creditor_account",  # .02
    "CdtrAcct/Id/PrtryAcct/Id": "creditor_account",  # .02
    "RmtInf/Ustrd": "free_text",
    "RmtInf/Strd/AddtlRmtInf": "additional_text",
    "RmtInf/Strd/CdtrRefInf/Ref": "reference",
    "RmtInf/Strd/CdtrRefInf/CdtrRef": "reference",  # .02
    "RmtInf/Strd/CdtrRefInf/Tp/CdOrPrtry/Cd": "reference_type",
    "RmtInf/Strd/CdtrRefInf/Tp/CdOrPrtry/Prtry": "reference_type",
    "RmtInf/Strd/CdtrRefInf/Tp/Issr": "reference_issuer",
    "RmtInf/Strd/CdtrRefInf/CdtrRefTp/Cd": "reference_type",  # .02
    "RmtInf/Strd/CdtrRefInf/CdtrRefTp/Prtry": "reference_type",  # .02
    "RmtInf/Strd/CdtrRefInf/CdtrRefTp/Issr": "reference_issuer",  # .02
}
# ISO allows these more than once; anything else twice makes the payment ambiguous.
REPEATABLE_FIELDS = frozenset({"free_text", "additional_text", "reference", "reference_type", "reference_issuer"})


class Node:
    """A place in the message that holds a value (`field`), or other places, or either (`ReqdExctnDt`)."""

    __slots__ = ("children", "field")

    def __init__(self, paths: Mapping[str, str], children: "Mapping[str, Node]") -> None:
        self.field: str | None = None
        self.children: dict[str, Node] = dict(children)
        for path, field in paths.items():
            node = self
            for name in path.split("/"):
                node = node.children.setdefault(name, Node({}, {}))
            node.field = field

    @property
    def is_value_only(self) -> bool:
        """Whether no element may stand inside."""
        return self.field is not None and not self.children


GROUP = Node(_GROUP_PATHS, {})
TRANSFER = Node(_TRANSFER_PATHS, {})
INSTRUCTION = Node(_INSTRUCTION_PATHS, {"CdtTrfTxInf": TRANSFER})
MESSAGE = Node({}, {"GrpHdr": GROUP, "PmtInf": INSTRUCTION})
# In .02 the message element bears the name of the schema.
DOCUMENT = Node({}, {"CstmrCdtTrfInitn": MESSAGE, "pain.001.001.02": MESSAGE})
