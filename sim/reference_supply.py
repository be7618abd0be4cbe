"""What comes in and goes out in the SimPy reference model: products, stocks, suppliers and customers, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sim.plant import Step
from sim.reference_clock import Shared, Wakeable
from sim.reference_demand import Customer, Season
from sim.reference_release import ProductGroup, ProductLine
from sim.reference_row_supply import read_supply, write_supply
from sim.reference_stock import Claim, StockPoint, Vendor
from sim.state import INFINITY, K_ARRIVAL, K_DEMAND, State

if TYPE_CHECKING:
    from sim.reference import Reference
    from sim.reference_calendar import WorkCalendar
    from sim.reference_floor import WorkCenter


class Stream:
    """Arrivals or customer orders: something that happens again and again, but not while its calendar is closed.

    `following` says in how many ticks it happens next (None: never again), `happen` does it and says whom that wakes.
    """

    def __init__(
        self,
        shared: Shared,
        key: tuple[int, str],
        calendar: WorkCalendar | None,
        following: Callable[[], int | None],
        happen: Callable[[], set[Wakeable]],
    ) -> None:
        self.shared = shared
        self.calendar = calendar
        self.following = following
        self.happen = happen
        self.countdown = shared.countdown(*key)
        if calendar is not None:
            calendar.listeners.append(self)

    @property
    def is_paused(self) -> bool:
        """Does the clock stand still?"""
        return self.calendar is not None and not self.calendar.is_open

    def set_next(self) -> None:
        """Find out when it happens next; the clock does not run yet."""
        ticks = self.following()
        self.countdown.reset(INFINITY if ticks is None else ticks)

    def begin(self) -> None:
        """Start the process, and the clock where it is not paused."""
        self.shared.whenever(self.countdown, self.happen_and_go_on)
        self.resume()

    def happen_and_go_on(self) -> set[Wakeable]:
        """It happens, and the time to the next one begins. Returns whom that wakes."""
        woken = self.happen()
        self.set_next()
        self.resume()
        return woken

    def pause(self) -> None:
        """The calendar closes."""
        self.countdown.stop()

    def resume(self) -> None:
        """Let the time that is left run, while the calendar is open."""
        self.countdown.run(not self.is_paused)


class Supply:
    """All products, groups, stocks, suppliers and customers of a model, in the order of the plant file.

    It takes `compiled`, `shared`, `parts` and `calendar` from the model; `connect` joins it to the floor.
    """

    def __init__(self, model: Reference) -> None:
        self.compiled, self.shared = model.compiled, model.shared
        compiled, plant, shared = model.compiled, model.compiled.plant, model.shared
        sizes = compiled.layout.sizes
        first = len(plant.stations)
        self.products = [ProductLine(shared, spec, first + i, model.parts) for i, spec in enumerate(plant.products)]
        self.groups = [ProductGroup(spec) for spec in plant.groups]
        self.vendors = [Vendor(shared, spec) for spec in plant.suppliers]
        self.stocks = [StockPoint(shared, spec, sizes["transit"], sizes["periods"]) for spec in plant.stocks]
        self.stock = {stock.spec.id: stock for stock in self.stocks}
        self.product = {product.spec.id: product for product in self.products}
        self.lanes = [stock.regular for stock in self.stocks if stock.regular is not None]
        self.lanes += [stock.express for stock in self.stocks if stock.express is not None]
        self.customers = [Customer(shared, spec, self.stock[spec.stock], sizes["ring"]) for spec in plant.demands]
        self._connect_lanes()
        self._connect_products(model.calendar)
        self.arrivals: dict[ProductLine, Stream] = {}
        self.orders: dict[Customer, Stream] = {}
        self._make_streams(model.calendar)

    def _connect_lanes(self) -> None:
        """Tell lanes their sources, and stocks whom they serve and what stands below them."""
        vendors = {vendor.spec.id: vendor for vendor in self.vendors}
        for lane in self.lanes:
            if lane.source_id in self.stock:
                lane.source = self.stock[lane.source_id]
                lane.source.lanes_out.append(lane)
            else:
                lane.source = vendors[lane.source_id]
        for stock in self.stocks:
            above = stock.regular
            while above is not None and isinstance(above.source, StockPoint):
                above.source.downstream.append(stock)
                above = above.source.regular
            customers = [customer for customer in self.customers if customer.stock is stock]
            claims: list[tuple[int, Claim]] = [(customer.spec.priority, customer) for customer in customers]
            claims += [(lane.stock.spec.priority, lane) for lane in stock.lanes_out]
            stock.claims = [claim for _, claim in sorted(claims, key=lambda pair: pair[0])]

    def _connect_products(self, calendars: Mapping[str, WorkCalendar]) -> None:
        for product in self.products:
            release = product.spec.release
            for name, quantity in release.consumes:
                product.consumes.append((self.stock[name], quantity))
                self.stock[name].users.append(product)
            if release.calendar is not None:
                calendars[release.calendar].products.append(product)
                if release.policy in ("conwip", "saturated"):
                    product.calendar = calendars[release.calendar]
        for stock in self.stocks:
            if stock.spec.source == "line":
                stock.filler = self.product[stock.spec.item]
                stock.filler.fills = stock
        for group in self.groups:
            group.share = {self.product[name]: share for name, share in group.spec.mix}
            group.members = sorted(group.share, key=lambda product: product.rank)
            for product in group.members:
                product.group = group

    def _make_streams(self, calendars: Mapping[str, WorkCalendar]) -> None:
        for product in self.products:
            if product.spec.release.policy in ("push", "orders"):
                key = (K_ARRIVAL, product.spec.id)
                hours = product.spec.release.calendar if product.spec.release.policy == "push" else None
                calendar = calendars[hours] if hours else None  # order lists are not bound
                self.arrivals[product] = Stream(self.shared, key, calendar, product.following, product.arrive)
        for customer in self.customers:
            spec, key = customer.spec, (K_DEMAND, customer.spec.id)
            if spec.season:
                hour = round(7 * 86400 / self.compiled.plant.tick_s) // 168
                customer.season = Season(spec.season, hour, self.compiled.season_start)
            calendar = calendars[spec.calendar] if spec.calendar and not spec.book else None  # nor are books
            self.orders[customer] = Stream(self.shared, key, calendar, customer.following, customer.order)

    def connect(self, centers: Mapping[str, WorkCenter]) -> None:
        """Join products and stocks to the stations, by id."""
        for product in self.products:
            product.first = [centers[name] for name, _ in product.spec.steps[0].eligible]
            for center in product.first:
                center.starters.append(product)
        for stock in self.stocks:
            stock.needers = [center for center in centers.values() if needs(center, self._steps(), stock.spec.id)]

    def _steps(self) -> list[Step]:
        return [step for product in self.products for step in product.spec.steps]

    def draw_first(self) -> None:
        """The first arrivals and customer orders, at the start of a run."""
        for stream in [*self.arrivals.values(), *self.orders.values()]:
            stream.set_next()

    def begin(self) -> None:
        """Start all processes."""
        for stream in [*self.arrivals.values(), *self.orders.values()]:
            stream.begin()
        for stock in self.stocks:
            stock.begin()

    def write(self, state: State) -> None:
        """Write the fields of products, groups, stocks, lanes, suppliers and demands."""
        write_supply(self, state)

    def read(self, state: State) -> None:
        """Go on from a row (the calendars have been read, nothing has begun)."""
        read_supply(self, state)

    def set_control(self, sets: str, value: int) -> None:
        """Set `release.PRODUCT.cap|base_stock`, `groups.GROUP.cap` or `stocks.STOCK.level|reorder|express`."""
        kind, thing, name = sets.split(".")
        if kind == "release":
            setattr(self.product[thing], name, value)
        elif kind == "groups":
            next(group for group in self.groups if group.spec.id == thing).cap = value
        else:
            setattr(self.stock[thing], "express_level" if name == "express" else name, value)


def needs(center: WorkCenter, steps: Sequence[Step], stock: str) -> bool:
    """May a station do an operation that needs a stock?"""
    return any(center.spec.id in dict(step.eligible) and any(name == stock for name, _ in step.needs) for step in steps)
