"""Where the values of a status report (pain.002) stand, for all versions, as one tree.

Paths without a remark are those of pain.002.001.03 and later. Source: the ISO 20022 message definitions.
"""

from app.payments.message_paths import Node

_HEADER_PATHS = {"MsgId": "message_id", "CreDtTm": "created_at"}
_TOTALS_PATHS = {"OrgnlNbOfTxs": "count", "OrgnlCtrlSum": "sum"}
_GROUP_PATHS = _TOTALS_PATHS | {
    "OrgnlMsgId": "original_message_id",
    "OrgnlMsgNmId": "original_message_name",
    "GrpSts": "status",
}
_INSTRUCTION_PATHS = _TOTALS_PATHS | {"OrgnlPmtInfId": "payment_information_id", "PmtInfSts": "status"}
_TRANSACTION_PATHS = {
    "OrgnlPmtInfId": "payment_information_id",  # .02
    "OrgnlInstrId": "instruction_id",
    "OrgnlEndToEndId": "end_to_end_id",
    "TxSts": "status",
    "OrgnlTxRef/Amt/InstdAmt": "amount",
    "OrgnlTxRef/Cdtr/Nm": "creditor_name",
    "OrgnlTxRef/Cdtr/Pty/Nm": "creditor_name",  # from .08 on
    "OrgnlTxRef/CdtrAcct/Id/IBAN": "creditor_iban",
}
_REASON_PATHS = {
    "Rsn/Cd": "code",
    "Rsn/Prtry": "proprietary",
    "AddtlInf": "text",
    "StsRsn/Cd": "code",  # .02
    "StsRsn/Prtry": "proprietary",  # .02
    "AddtlStsRsnInf": "text",  # .02
}
_COUNT_PATHS = {"DtldSts": "code", "DtldNbOfTxs": "count"}

# ISO allows these more than once in their block; anything else twice makes the block ambiguous.
REPEATABLE_FIELDS = frozenset({"text"})

HEADER = Node(_HEADER_PATHS, {})
REASON = Node(_REASON_PATHS, {})
COUNT = Node(_COUNT_PATHS, {})
TRANSACTION = Node(_TRANSACTION_PATHS, {"StsRsnInf": REASON})
INSTRUCTION = Node(_INSTRUCTION_PATHS, {"StsRsnInf": REASON, "NbOfTxsPerSts": COUNT, "TxInfAndSts": TRANSACTION})
GROUP = Node(_GROUP_PATHS, {"StsRsnInf": REASON, "NbOfTxsPerSts": COUNT})
MESSAGE = Node(
    {},
    {
        "GrpHdr": HEADER,
        "OrgnlGrpInfAndSts": GROUP,
        "OrgnlPmtInfAndSts": INSTRUCTION,
        "TxInfAndSts": TRANSACTION,  # .02
    },
)
# In .02 the message element bears the name of the schema.
DOCUMENT = Node({}, {"CstmrPmtStsRpt": MESSAGE, "pain.002.001.02": MESSAGE})
