"""Countries of IBANs: which of them SEPA reaches and since when, which are in the EEA, and their names.

schwifty's own SEPA mark is out of date (AL, ME, MD, MK and RS joined), so membership is a table here. Sources, looked
up on 2026-11-21: the European Payments Council's list of scheme countries (EPC409-09, 41 countries with their
territories) and its announcement for AD and VA; for the five of 2025 and 2026 the news of their central banks and bank
associations, with the first day on which payments went through, not the day of admission. The Faroe Islands (FO) and
Greenland (GL) are not in SEPA.
"""

from datetime import date

# The day the SEPA credit transfer started. Who joined between then and 2016 has the day of admission or 1 January of
# that year; no payment of ours can be that old, so only the membership matters.
_START = date(2008, 1, 28)
_JOINED_LATER = {
    "MC": date(2009, 1, 1),
    "HR": date(2013, 7, 1),
    "SM": date(2014, 2, 1),
    "AD": date(2019, 3, 1),
    "VA": date(2019, 3, 1),
    "AL": date(2025, 10, 7),
    "MD": date(2025, 10, 7),
    "ME": date(2025, 10, 7),
    "MK": date(2025, 10, 7),
    "RS": date(2026, 5, 5),
}

# EU, Iceland, Liechtenstein and Norway. Outside of these a bank needs the payer's address, which Dutch banks add.
EEA_COUNTRIES = frozenset(
    {
        "AT",
        "BE",
        "BG",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GR",
        "HR",
        "HU",
        "IE",
        "IS",
        "IT",
        "LI",
        "LT",
        "LU",
    }
    | {"LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"}
)
# Country code in the IBAN -> first day on which a SEPA credit transfer can reach it. Gibraltar (GI) is a territory of
# the British membership with a code of its own.
SEPA_COUNTRIES = dict.fromkeys([*sorted(EEA_COUNTRIES), "CH", "GB", "GI"], _START) | _JOINED_LATER

# Parts of France and Finland, and Guernsey, Jersey and the Isle of Man: their IBANs begin with FR, FI and GB (ISO 13616
# registry, EPC409-09), so these codes are mistakes, also where they are the country in a BIC.
CODES_WITHOUT_IBAN = frozenset(
    {"AX", "BL", "GF", "GG", "GP", "IM", "JE", "MF", "MQ", "NC", "PF", "PM", "RE", "TF", "WF", "YT"}
)

_NAMES = """
AE United Arab Emirates|Verenigde Arabische Emiraten
AL Albania|Albanië
AO Angola|Angola
AZ Azerbaijan|Azerbeidzjan
BA Bosnia and Herzegovina|Bosnië en Herzegovina
BF Burkina Faso|Burkina Faso
BH Bahrain|Bahrein
BI Burundi|Burundi
BJ Benin|Benin
BR Brazil|Brazilië
BY Belarus|Belarus
CF Central African Republic|Centraal-Afrikaanse Republiek
CG Congo|Congo
CI Ivory Coast|Ivoorkust
CM Cameroon|Kameroen
CR Costa Rica|Costa Rica
CV Cape Verde|Kaapverdië
DJ Djibouti|Djibouti
DO Dominican Republic|Dominicaanse Republiek
DZ Algeria|Algerije
EG Egypt|Egypte
FK Falkland Islands|Falklandeilanden
FO Faroe Islands|Faeröer
GA Gabon|Gabon
GE Georgia|Georgië
GL Greenland|Groenland
GQ Equatorial Guinea|Equatoriaal-Guinea
GT Guatemala|Guatemala
GW Guinea-Bissau|Guinee-Bissau
HN Honduras|Honduras
IL Israel|Israël
IQ Iraq|Irak
IR Iran|Iran
JO Jordan|Jordanië
KM Comoros|Comoren
KW Kuwait|Koeweit
KZ Kazakhstan|Kazachstan
LB Lebanon|Libanon
LC Saint Lucia|Saint Lucia
LY Libya|Libië
MA Morocco|Marokko
MD Moldova|Moldavië
ME Montenegro|Montenegro
MG Madagascar|Madagaskar
MK North Macedonia|Noord-Macedonië
ML Mali|Mali
MN Mongolia|Mongolië
MR Mauritania|Mauritanië
MU Mauritius|Mauritius
MZ Mozambique|Mozambique
NE Niger|Niger
NI Nicaragua|Nicaragua
OM Oman|Oman
PK Pakistan|Pakistan
PS Palestine|Palestina
QA Qatar|Qatar
RS Serbia|Servië
RU Russia|Rusland
SA Saudi Arabia|Saoedi-Arabië
SC Seychelles|Seychellen
SD Sudan|Soedan
SN Senegal|Senegal
SO Somalia|Somalië
ST Sao Tome and Principe|Sao Tomé en Principe
SV El Salvador|El Salvador
TD Chad|Tsjaad
TG Togo|Togo
TL East Timor|Oost-Timor
TN Tunisia|Tunesië
TR Turkey|Turkije
UA Ukraine|Oekraïne
VG British Virgin Islands|Britse Maagdeneilanden
XK Kosovo|Kosovo
YE Yemen|Jemen
"""
_NAME_OF = {line[:2]: (line[3:].split("|")[0], line[3:].split("|")[1]) for line in _NAMES.strip().splitlines()}


def country_name(country: str) -> tuple[str, str]:
    """Return the English and the Dutch name of a country outside SEPA or new in it; the code itself for any other."""
    return _NAME_OF.get(country, (country, country))
