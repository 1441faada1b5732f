"""The qt stand-in: what PythonQt does is done, what it does not have is refused."""

from __future__ import annotations

import sys

import pytest

from host.sources import find_problems


@pytest.fixture
def qt(host):
    return sys.modules["qt"]


@pytest.mark.parametrize(
    ("class_name", "name", "value"),
    [
        ("QLabel", "text", "Tumor core"),
        ("QLabel", "toolTip", "mL"),
        ("QPushButton", "enabled", False),
        ("QPushButton", "checkable", True),
        ("QSpinBox", "maximum", 15),
        ("QDoubleSpinBox", "value", 0.5),
        ("QProgressBar", "format", "%p %"),
        ("QLineEdit", "placeholderText", "none"),
        ("QPlainTextEdit", "plainText", "log"),
        ("QTableWidget", "rowCount", 3),
        ("QTimer", "interval", 250),
        ("QTimer", "singleShot", True),
        ("QWidget", "objectName", "panel"),
    ],
)
def test_property_set_as_attribute_is_what_qt_holds(qt, class_name, name, value):
    thing = getattr(qt, class_name)()
    setattr(thing, name, value)
    assert qt.QObject.property(thing, name) == value
    assert getattr(thing, name) == value


def test_property_shows_what_a_setter_wrote(qt):
    button = qt.QPushButton()
    button.setText("Apply")
    button.setEnabled(False)
    assert (button.text, button.enabled, button.isEnabled()) == ("Apply", False, False)


def test_any_truth_value_sets_a_bool_property(qt):
    button = qt.QPushButton()
    button.enabled = ""
    assert button.enabled is False
    button.enabled = [1]
    assert button.enabled is True


def test_objects_that_qt_makes_itself_have_the_same_face(qt):
    table = qt.QTableWidget(2, 2)
    table.horizontalHeader().stretchLastSection = True
    assert qt.QObject.property(table.horizontalHeader(), "stretchLastSection") is True


def test_wrong_property_name_is_refused(qt):
    label = qt.QLabel()
    with pytest.raises(AttributeError, match="QLabel has no property 'tex'"):
        label.tex = "x"
    with pytest.raises(AttributeError, match="QLabel has no attribute 'tex'"):
        _ = label.tex


def test_a_method_cannot_be_overwritten(qt):
    with pytest.raises(AttributeError, match="setText"):
        qt.QLabel().setText = "x"


def test_read_only_property_cannot_be_set(qt):
    with pytest.raises(AttributeError):
        qt.QComboBox().count = 3


def test_values_have_no_attributes_to_set(qt):
    item = qt.QTableWidgetItem("0.93")
    with pytest.raises(AttributeError, match="QTableWidgetItem has no attribute 'text'"):
        item.text = "x"
    assert item.text() == "0.93"


def test_stand_in_widget_is_as_strict_as_a_qt_one(qt):
    button = sys.modules["ctk"].ctkCollapsibleButton()
    with pytest.raises(AttributeError, match="has no property 'colapsed'"):
        button.colapsed = True


def test_python_subclass_may_have_attributes(qt):
    class Panel(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.results = [1]
            self.windowTitle = "Results"

    panel = Panel()
    assert panel.results == [1]
    assert qt.QObject.property(panel, "windowTitle") == "Results"


def test_property_is_not_a_method(qt):
    with pytest.raises(TypeError, match="'str' object is not callable"):
        qt.QLabel("x").text()


def test_keyword_arguments_of_constructors_are_refused(qt):
    with pytest.raises(TypeError, match="no keyword arguments"):
        qt.QLabel(text="x")
    with pytest.raises(TypeError, match="no keyword arguments"):
        qt.QSize(w=1, h=2)


@pytest.mark.parametrize("name", ["Signal", "Slot", "Property"])
def test_names_that_pythonqt_lacks_are_missing(qt, name):
    assert not hasattr(qt, name)


def test_exec_is_refused_and_exec_returns_at_once(qt, host):
    dialog = qt.QDialog()
    with pytest.raises(AttributeError, match="call exec_"):
        dialog.exec()
    assert dialog.exec_() == qt.QDialog.Rejected


def test_dynamic_property_is_an_attribute(qt):
    label = qt.QLabel()
    label.setProperty("sequence", "t1ce")
    assert label.sequence == "t1ce"
    label.sequence = "t2"
    assert label.property("sequence") == "t2"


def test_class_name_and_name(qt):
    label = qt.QLabel()
    label.objectName = "status"
    assert (label.className(), label.name) == ("QLabel", "status")


def test_slots_get_as_many_arguments_as_they_take(qt):
    button, seen = qt.QPushButton(), []
    button.checkable = True
    button.connect("clicked(bool)", lambda: seen.append("none"))
    button.connect("clicked(bool)", lambda checked: seen.append(checked))
    button.connect("clicked(bool)", lambda *args: seen.append(args))
    button.connect("clicked()", lambda *args: seen.append(args))
    button.clicked.connect(lambda: seen.append("new style"))
    button.click()
    assert seen == ["none", True, (True,), (), "new style"]


def test_overload_is_chosen_by_signature(qt):
    process, seen = qt.QProcess(), []
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: seen.append((code, status)))
    process.connect("finished(int)", lambda *args: seen.append(args))
    process.finished.emit(3, qt.QProcess.NormalExit)
    assert seen == [(3, qt.QProcess.NormalExit), (3,)]


@pytest.mark.parametrize("signature", ["clicked(int)", "pressedd()", "clicked"])
def test_unknown_signal_is_refused(qt, signature):
    with pytest.raises(ValueError, match=r"no signal|argument list"):
        qt.QPushButton().connect(signature, print)


def test_only_callables_can_be_connected(qt):
    with pytest.raises(TypeError, match="not callable"):
        qt.QPushButton().connect("clicked()", "apply")


def test_disconnect_stops_only_the_given_slot(qt):
    button, seen = qt.QPushButton(), []

    def first():
        seen.append("first")

    button.connect("clicked()", first)
    button.connect("clicked()", lambda: seen.append("second"))
    assert button.disconnect("clicked()", first) is True
    assert button.disconnect("clicked()", first) is False
    button.click()
    assert seen == ["second"]


def test_process_talks_through_pipes(qt, host):
    process, output, ends = qt.QProcess(), [], []
    process.readyReadStandardOutput.connect(
        lambda: output.append(process.readAllStandardOutput().data().decode("utf-8", "replace"))
    )
    process.finished.connect(lambda code, status: ends.append((code, status)))
    program = "import sys; print(sys.stdin.readline().strip() + '!'); sys.exit(3 if sys.stdin.read() == '' else 1)"
    process.start(sys.executable, ["-c", program])
    process.write(b"cancel\n")
    process.closeWriteChannel()
    assert host.process_events(until=lambda: bool(ends), timeout=20)
    assert ends == [(3, qt.QProcess.NormalExit)]
    assert "".join(output) == "cancel!\n"
    assert process.state() == qt.QProcess.NotRunning


def test_process_that_cannot_start_reports_an_error(qt, host, tmp_path):
    process, errors = qt.QProcess(), []
    process.errorOccurred.connect(errors.append)
    process.start(str(tmp_path / "missing"), [])
    assert host.process_events(until=lambda: bool(errors), timeout=20)
    assert errors == [qt.QProcess.FailedToStart]


def test_single_shot_timer(qt, host):
    seen = []
    qt.QTimer.singleShot(1, lambda: seen.append("late"))
    assert seen == []
    assert host.process_events(until=lambda: bool(seen), timeout=5)


def test_settings_are_isolated_and_forgotten(qt, host):
    qt.QSettings().setValue("DMAFSegment/model", "a.safetensors")
    assert qt.QSettings().value("DMAFSegment/model", "") == "a.safetensors"
    assert "slicer-stand-in-" in qt.QSettings().fileName()
    host.reset()
    assert qt.QSettings().value("DMAFSegment/model", "none") == "none"


def test_message_boxes_never_block_and_are_recorded(qt, host):
    assert qt.QMessageBox.question(None, "Install", "Install torch?") == qt.QMessageBox.No
    host.dialogs.answer("QMessageBox.question", qt.QMessageBox.Yes)
    assert qt.QMessageBox.question(None, "Install", "Install torch?") == qt.QMessageBox.Yes
    box = qt.QMessageBox()
    box.text = "Remove the results?"
    box.setStandardButtons(qt.QMessageBox.Ok | qt.QMessageBox.Cancel)
    assert box.exec_() == qt.QMessageBox.Cancel
    assert host.dialogs.messages == [
        ("QMessageBox.question", "Install torch?"),
        ("QMessageBox.question", "Install torch?"),
        ("QMessageBox.exec_", "Remove the results?"),
    ]


def test_file_dialogs_return_the_prepared_answer(qt, host):
    assert qt.QFileDialog.getOpenFileName(None, "Model") == ""
    host.dialogs.answer("QFileDialog.getOpenFileName", "model.safetensors")
    assert qt.QFileDialog.getOpenFileName(None, "Model", "", "*.safetensors") == "model.safetensors"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("from PySide6 import QtWidgets", "import qt"),
        ("import PyQt5.QtCore", "import qt"),
        ("from __feature__ import snake_case", "does not exist in Slicer"),
        ("import qt\nqt.QLabel(text='x')", "no keyword arguments"),
        ("import qt\nx = qt.Qt.AlignmentFlag.AlignCenter", "write qt.Qt.AlignCenter"),
        ("import qt\nx = qt.QProcess.ProcessState.Running", "write qt.QProcess.Running"),
    ],
)
def test_source_that_only_pyside_runs_is_found(qt, source, reason):
    findings = list(find_problems(source, qt))
    assert len(findings) == 1
    assert findings[0][0] == source.count("\n") + 1
    assert reason in findings[0][1]


def test_source_for_slicer_passes(qt):
    source = "import qt\nlabel = qt.QLabel('x')\nlabel.alignment = qt.Qt.AlignCenter\nprint(label, sep='')"
    assert list(find_problems(source, qt)) == []


def test_many_calls_do_not_exhaust_none(qt):
    """PySide6 6.12 on Python 3.11 takes a reference to None at each call; the host must outlive a long test run."""
    before = sys.getrefcount(None)
    label = qt.QLabel()
    for _ in range(1000):
        label.setText("x")
    assert sys.getrefcount(None) > 1_000_000
    assert before > 1_000_000
