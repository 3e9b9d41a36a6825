"""The WSDL of a service, written from the table in contract.py with a SOAP 1.1 and a SOAP 1.2 binding."""

from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from simulators.nmbrs.contract import Enumeration, Field, ListOf, Operation, Record, Scalar, namespace, operations_of

_TRANSPORT = "http://schemas.xmlsoap.org/soap/http"
_OPENING = (
    '<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://www.w3.org/2001/XMLSchema"'
    ' xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/"'
)
_HEADER_TYPES = """\
      <s:complexType name="AuthHeader"><s:sequence>
        <s:element minOccurs="0" maxOccurs="1" name="Username" type="s:string"/>
        <s:element minOccurs="0" maxOccurs="1" name="Token" type="s:string"/>
      </s:sequence></s:complexType>
      <s:complexType name="AuthHeaderWithDomain"><s:complexContent><s:extension base="tns:AuthHeader"><s:sequence>
        <s:element minOccurs="0" maxOccurs="1" name="Domain" type="s:string"/>
      </s:sequence></s:extension></s:complexContent></s:complexType>
      <s:element name="AuthHeader" type="tns:AuthHeader"/>
      <s:element name="AuthHeaderWithDomain" type="tns:AuthHeaderWithDomain"/>"""


def write_wsdl(service: str, base_url: str) -> bytes:
    """The WSDL of `service`; both ports carry the address under `base_url`."""
    operations = operations_of(service)
    lines = (
        '<?xml version="1.0" encoding="utf-8"?>',
        f'{_OPENING} xmlns:tns="{namespace(service)}" targetNamespace="{namespace(service)}">',
        *_types(service, operations),
        *(line for operation in operations for line in _messages(operation)),
        *_port_type(service, operations),
        *_binding(service, operations, prefix="soap", suffix="Soap"),
        *_binding(service, operations, prefix="soap12", suffix="Soap12"),
        *_service(service, f"{base_url}/soap/v3/{service}.asmx"),
        "</wsdl:definitions>",
    )
    return "\n".join(lines).encode()


def _types(service: str, operations: Iterable[Operation]) -> Iterable[str]:
    records: dict[str, Record] = {}
    lists: dict[str, ListOf] = {}
    yield f'  <wsdl:types><s:schema elementFormDefault="qualified" targetNamespace="{namespace(service)}">'
    for operation in operations:
        yield f'      <s:element name="{operation.name}">{_complex_type(operation.parameters)}</s:element>'
        result = _element(f"{operation.name}Result", _type_name(operation.result), required=False)
        yield f'      <s:element name="{operation.name}Response">{_sequence([result])}</s:element>'
        if isinstance(operation.result, ListOf):
            lists[operation.result.name] = operation.result
            records[operation.result.item.name] = operation.result.item
        elif isinstance(operation.result, Record):
            records[operation.result.name] = operation.result
    for array in lists.values():
        yield f"      {_sequence([_repeated(array.item.name)], name=array.name)}"
    for record in records.values():
        yield f"      {_complex_type(record.fields, name=record.name)}"
    for enumeration in _enumerations(records.values()):
        values = "".join(f'<s:enumeration value="{value}"/>' for value in enumeration.values)
        yield (
            f'      <s:simpleType name="{enumeration.name}">'
            f'<s:restriction base="s:string">{values}</s:restriction></s:simpleType>'
        )
    yield _HEADER_TYPES
    yield "  </s:schema></wsdl:types>"


def _enumerations(records: Iterable[Record]) -> Iterable[Enumeration]:
    fields = (field.type for record in records for field in record.fields)
    return {kind.name: kind for kind in fields if isinstance(kind, Enumeration)}.values()


def _complex_type(fields: Iterable[Field], name: str = "") -> str:
    return _sequence(
        [_element(field.name, _type_name(field.type), required=not field.may_be_absent) for field in fields], name
    )


def _sequence(elements: list[str], name: str = "") -> str:
    attribute = f" name={quoteattr(name)}" if name else ""
    content = f"<s:sequence>{''.join(elements)}</s:sequence>" if elements else ""
    return f"<s:complexType{attribute}>{content}</s:complexType>"


def _element(name: str, type_name: str, *, required: bool) -> str:
    return f'<s:element minOccurs="{int(required)}" maxOccurs="1" name="{name}" type="{type_name}"/>'


def _repeated(name: str) -> str:
    return f'<s:element minOccurs="0" maxOccurs="unbounded" name="{name}" nillable="true" type="tns:{name}"/>'


def _type_name(kind: Scalar | Enumeration | Record | ListOf) -> str:
    return f"s:{kind.value}" if isinstance(kind, Scalar) else f"tns:{kind.name}"


def _messages(operation: Operation) -> Iterable[str]:
    name, header = operation.name, operation.header
    for message, part, element in (
        (f"{name}SoapIn", "parameters", name),
        (f"{name}SoapOut", "parameters", f"{name}Response"),
        (f"{name}{header}", header, header),
    ):
        yield f'  <wsdl:message name="{message}"><wsdl:part name="{part}" element="tns:{element}"/></wsdl:message>'


def _port_type(service: str, operations: Iterable[Operation]) -> Iterable[str]:
    yield f'  <wsdl:portType name="{service}Soap">'
    for operation in operations:
        yield (
            f'    <wsdl:operation name="{operation.name}"><wsdl:input message="tns:{operation.name}SoapIn"/>'
            f'<wsdl:output message="tns:{operation.name}SoapOut"/></wsdl:operation>'
        )
    yield "  </wsdl:portType>"


def _binding(service: str, operations: Iterable[Operation], *, prefix: str, suffix: str) -> Iterable[str]:
    yield f'  <wsdl:binding name="{service}{suffix}" type="tns:{service}Soap">'
    yield f'    <{prefix}:binding transport="{_TRANSPORT}"/>'
    for operation in operations:
        message = f"tns:{operation.name}{operation.header}"
        yield (
            f'    <wsdl:operation name="{operation.name}">'
            f'<{prefix}:operation soapAction="{operation.action}" style="document"/>'
            f'<wsdl:input><{prefix}:body use="literal"/>'
            f'<{prefix}:header message="{message}" part="{operation.header}" use="literal"/></wsdl:input>'
            f'<wsdl:output><{prefix}:body use="literal"/></wsdl:output></wsdl:operation>'
        )
    yield "  </wsdl:binding>"


def _service(service: str, address: str) -> Iterable[str]:
    yield f'  <wsdl:service name="{service}">'
    for prefix, suffix in (("soap", "Soap"), ("soap12", "Soap12")):
        yield (
            f'    <wsdl:port name="{service}{suffix}" binding="tns:{service}{suffix}">'
            f"<{prefix}:address location={quoteattr(address)}/></wsdl:port>"
        )
    yield "  </wsdl:service>"
