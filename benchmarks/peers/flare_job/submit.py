"""Runs in FLARE's environment: describes the job, waits until every member is there, and submits it.

Usage: python submit.py KIT MEMBERS ROUNDS VALUES FOUND JOBS
"""

import sys
import time

from nvflare.fuel.flare_api.flare_api import new_secure_session
from nvflare.fuel.utils.constants import FrameworkType
from nvflare.job_config.api import FedJob
from nvflare.job_config.script_runner import ScriptRunner
from stamped import StampedFedAvg

kit, found, jobs = sys.argv[1], sys.argv[5], sys.argv[6]
members, rounds, values = map(int, sys.argv[2:5])

job = FedJob(name="rounds", min_clients=members)
job.to_server(StampedFedAvg(num_clients=members, num_rounds=rounds, values=values, found=found))
job.to_clients(ScriptRunner(script="train.py", framework=FrameworkType.NUMPY))
job.export_job(jobs)

session = new_secure_session("admin@nvidia.com", kit, timeout=120)
try:
    deadline = time.monotonic() + 180
    while len(session.get_system_info().client_info) < members:
        if time.monotonic() > deadline:
            sys.exit("not every member has registered within 180 s")
        time.sleep(0.5)
    session.submit_job(f"{jobs}/rounds")
finally:
    session.close()
