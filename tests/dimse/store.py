"""Sends the files of a folder by pynetdicom and prints each status with the code in its comment: store.py PORT FOLDER."""
import pathlib
import sys

import pydicom
import pynetdicom

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
entity = pynetdicom.AE(ae_title="PYNETDICOM")
entity.add_requested_context("1.2.840.10008.1.1")
entity.add_requested_context("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1")
entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
association = entity.associate("127.0.0.1", port, ae_title="OVERREAD")
if not association.is_established:
    sys.exit("no association")
print(f"echo {association.send_c_echo().Status:04X}")
for path in sorted(folder.glob("*.dcm")):
    answer = association.send_c_store(pydicom.dcmread(path))
    print(f"{path.name} {answer.Status:04X} {answer.get('ErrorComment', '-').split(':')[0]}")
association.release()
print("released" if association.is_released else "not released")
